//! `tutti dt …`, as far as the library goes: check, domains, split, show, convert, map, diff.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::process::ExitCode;

use tutti_devicetree::command::{self, Format};
use tutti_devicetree::{Disk, Loaded, Reading, diff, load};

const USAGE: &str = "dt check FILE… [--json] | domains FILE… | split FILE… --domain NAME -o DIR | show FILE PATH \
                     | convert FILE… -o FILE | map FILE… -o FILE | diff A B     (-I DIR, -D NAME[=VALUE], -@)";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut args = std::env::args().skip(1);
    let command = args.next().ok_or(USAGE)?;
    let mut reading = Reading::default();
    let (mut files, mut out, mut domain, mut json) = (Vec::new(), None, None, false);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(USAGE);
        match arg.as_str() {
            "-I" => reading.options.include.push(value()?),
            "-D" => reading.options.define.push(value()?),
            "-@" => reading.symbols = true,
            "-o" => out = Some(value()?),
            "--domain" => domain = Some(value()?),
            "--json" => json = true,
            _ => files.push(arg),
        }
    }
    let read = |names: &[String]| -> Loaded {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        load(&names, &Disk, &reading)
    };
    let write = |path: &str, bytes: &[u8]| std::fs::write(path, bytes).map_err(|e| format!("cannot write {path}: {e}"));
    let shown = if command == "show" { files.pop() } else { None };
    let second = if command == "diff" { files.pop() } else { None };
    let mut loaded = read(&files);
    if command == "check" {
        command::check(&mut loaded);
        if json {
            println!("{:#}", loaded.diags.to_json(&loaded.sources));
        } else {
            print!("{}", loaded.render(false));
            println!("{}", command::summary(&loaded.diags));
        }
        return Ok(!loaded.diags.has_errors());
    }
    eprint!("{}", loaded.render(false));
    if loaded.diags.has_errors() {
        return Ok(false);
    }
    match command.as_str() {
        "domains" => print!("{}", command::domains(&loaded.tree)),
        "show" => {
            let name = shown.ok_or(USAGE)?;
            print!("{}", command::show(&loaded, &name).ok_or(format!("there is no node '{name}'"))?);
        }
        "convert" => {
            let path = out.ok_or(USAGE)?;
            let format = Format::of(&path).ok_or("the output's name must end in .dts, .dtb or .yaml")?;
            write(&path, &command::convert(&loaded, format))?;
        }
        "map" => {
            let path = out.ok_or(USAGE)?;
            write(&path, command::map(&loaded.tree, &path).as_bytes())?;
        }
        "split" => {
            let (domain, dir) = (domain.ok_or(USAGE)?, out.ok_or(USAGE)?);
            let (outputs, notes) = command::split(&loaded, &domain).ok_or(format!("there is no domain '{domain}'"))?;
            std::fs::create_dir_all(&dir).map_err(|e| format!("cannot make {dir}: {e}"))?;
            for output in outputs {
                write(&format!("{dir}/{}", output.name), &output.bytes)?;
                println!("{dir}/{}", output.name);
            }
            notes.iter().for_each(|n| println!("note: {n}"));
        }
        "diff" => {
            let other = read(&[second.ok_or(USAGE)?]);
            let found = diff::diff(&loaded.tree, &other.tree);
            found.iter().for_each(|d| println!("{d}"));
            return Ok(found.is_empty());
        }
        _ => return Err(USAGE.to_owned()),
    }
    Ok(true)
}
