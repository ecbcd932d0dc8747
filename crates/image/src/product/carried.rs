//! What a product carries, as its file says it.
//!
//! ```toml
//! apps = ["counter.tutti", { file = "relay.tutti", run = true }]
//!
//! [[core]]                      # another processor of the chip
//! domain = "m4"                 # its domain in the device tree
//! firmware = "m4.elf"
//! processor = "m4@10000000"     # what the kernel's driver calls it, if not by the domain's name
//!
//! [[core]]                      # a process of the device's own
//! name = "brain"
//! firmware = "brain"            # a program
//! arguments = ["--fast"]
//! stop-message = "100:00"       # endpoint:bytes in hexadecimal, sent before it is stopped by force
//! ```

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;
use tutti_update::carried::{MOST_ARGUMENTS, MOST_STOP};

use super::{App, Core, MAX_LIST, On, Reader, Said};

/// A file, or a table with more.
pub(super) struct RawApp {
    file: String,
    run: bool,
}

impl<'de> Deserialize<'de> for RawApp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            file: String,
            #[serde(default)]
            run: bool,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawApp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the file of an app's package, or { file = \"FILE\", run = true }")
            }

            fn visit_str<E: de::Error>(self, file: &str) -> Result<RawApp, E> {
                Ok(RawApp { file: file.to_owned(), run: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawApp, A::Error> {
                let Table { file, run } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawApp { file, run })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCore {
    domain: Option<Spanned<String>>,
    processor: Option<Spanned<String>>,
    name: Option<Spanned<String>>,
    #[serde(default)]
    arguments: Vec<String>,
    stop_message: Option<Spanned<String>>,
    firmware: Spanned<String>,
}

pub(super) fn apps(reader: &mut Reader<'_>, list: Vec<Spanned<RawApp>>) -> Vec<App> {
    let app = |raw: Spanned<RawApp>| {
        let span = reader.span(raw.span());
        let RawApp { file, run } = raw.into_inner();
        App { file: Said { value: file, span }, run }
    };
    list.into_iter().take(MAX_LIST).map(app).collect()
}

pub(super) fn core(reader: &mut Reader<'_>, raw: RawCore) -> Option<Core> {
    let range = raw.firmware.span();
    let on = match raw {
        RawCore { domain: Some(domain), name: None, processor, ref arguments, stop_message: None, .. }
            if arguments.is_empty() =>
        {
            On::Processor { domain: reader.said(domain), processor: processor.map(|it| reader.said(it)) }
        }
        RawCore { domain: None, name: Some(name), processor: None, arguments, stop_message, .. } => {
            let (most, bytes) = MOST_ARGUMENTS;
            if arguments.len() > most
                || arguments.iter().map(String::len).sum::<usize>() > bytes
                || arguments.iter().any(|it| it.contains('\0'))
            {
                let what = format!("a program takes at most {most} arguments of {bytes} bytes together, without zeros");
                reader.wrong(range, what, "take some of them out");
                return None;
            }
            let stop = match stop_message {
                Some(text) => Some(stop(reader, &text)?),
                None => None,
            };
            On::Process { name: reader.said(name), arguments, stop }
        }
        _ => {
            let help = "write domain = \"NAME\" for firmware of another processor of the chip (with processor = \"NAME\" if the kernel \
                        calls it otherwise), or name = \"NAME\" for a program (with arguments and stop-message if it has them)";
            reader.wrong(range, "a core is either a domain of the device tree, or a program with a name", help);
            return None;
        }
    };
    Some(Core { firmware: reader.said(raw.firmware), on })
}

fn stop(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<(u32, Vec<u8>)> {
    let parsed = text.get_ref().split_once(':').and_then(|(endpoint, bytes)| {
        let bytes = HEXLOWER_PERMISSIVE.decode(bytes.as_bytes()).ok().filter(|bytes| bytes.len() <= MOST_STOP)?;
        Some((endpoint.parse().ok()?, bytes))
    });
    if parsed.is_none() {
        let help = "write it as ENDPOINT:BYTES, the bytes in hexadecimal, such as \"1024:73746f70\"";
        reader.wrong(text.span(), format!("{:?} is no message that asks to stop", text.get_ref()), help);
    }
    parsed
}
