//! Text that compilers and linkers read: Rust constants, `memory.x`, a C header, a Zephyr overlay.

use std::fmt::Write as _;

use super::layout::{Channel, Device, Layout, Named, RegionKind, upper_text};
use super::resource_table::VRING_ALIGN;
use crate::system::RelationKind;

fn banner(layout: &Layout, comment: &str, end: &str) -> String {
    format!(
        "{comment} What domain '{}' was given; made from the System Device Tree, not to be edited.{end}\n",
        layout.domain
    )
}

/// A Rust module of constants: memory, carveouts, devices, interrupts, channels.
#[must_use]
pub fn rust_constants(layout: &Layout) -> String {
    let mut out = banner(layout, "//", "");
    // An inner attribute would bar the file from `include!`.
    out.push_str("// For a module of its own: #[allow(dead_code)] mod domain { include!(…); }\n\n");
    let _ = writeln!(out, "/// The domain's name.\npub const DOMAIN: &str = {:?};", layout.domain);
    if let Some(id) = layout.id {
        let _ = writeln!(out, "/// The domain's id.\npub const DOMAIN_ID: u32 = {id};");
    }
    for region in &layout.regions {
        let what = match region.kind {
            RegionKind::Memory => "Memory",
            RegionKind::Sram => "On-chip memory",
            RegionKind::Carveout => "Carveout",
        };
        let shared = if region.shared { ", shared with another domain" } else { "" };
        let _ = writeln!(
            out,
            "/// {what}{shared}: first address.\npub const {}_START: usize = {:#x};",
            region.name, region.region.start
        );
        let _ = writeln!(out, "/// Bytes.\npub const {}_SIZE: usize = {:#x};", region.name, region.region.size);
    }
    for device in &layout.devices {
        if let Some(region) = device.region {
            let _ = writeln!(
                out,
                "/// `{}`: registers.\npub const {}_BASE: usize = {:#x};",
                device.compatible, device.name, region.start
            );
            let _ = writeln!(out, "/// Bytes.\npub const {}_SIZE: usize = {:#x};", device.name, region.size);
        }
        let numbers = &device.numbers;
        if !numbers.is_empty() {
            let _ = writeln!(
                out,
                "/// Interrupt numbers.\npub const {}_INTERRUPTS: [u32; {}] = {numbers:?};",
                device.name,
                numbers.len()
            );
        }
        for (name, number) in &device.named {
            let _ = writeln!(
                out,
                "/// The interrupt `{}`.\npub const {}_INTERRUPT_{name}: u32 = {number};",
                name.to_lowercase(),
                device.name
            );
        }
        for (name, rate) in &device.rates {
            let what = if *name == "CURRENT_SPEED" { "Bits in a second" } else { "Its clock, in hertz" };
            let _ = writeln!(out, "/// {what}.\npub const {}_{name}: u32 = {rate};", device.name);
        }
    }
    for channel in &layout.channels {
        let name = channel_name(channel);
        let _ = writeln!(
            out,
            "/// Whether this side of the channel to '{}' is the host.\npub const {name}_HOST: bool = {};",
            channel.peer, channel.host
        );
        for (i, vring) in channel.vrings.iter().enumerate() {
            let _ = writeln!(out, "/// Vring {i}.\npub const {name}_VRING{i}: usize = {:#x};", vring.region.start);
        }
        if !channel.vrings.is_empty() {
            let _ = writeln!(out, "/// Descriptors in each vring.\npub const {name}_VRING_NUM: u16 = {};", channel.num);
            let _ = writeln!(out, "/// The alignment of a vring.\npub const {name}_VRING_ALIGN: u32 = {VRING_ALIGN};");
        }
        for (i, buffer) in channel.buffers.iter().enumerate() {
            let suffix = if i == 0 { String::new() } else { i.to_string() };
            let _ = writeln!(
                out,
                "/// Shared memory.\npub const {name}_SHARED{suffix}: usize = {:#x};",
                buffer.region.start
            );
            let _ =
                writeln!(out, "/// Bytes.\npub const {name}_SHARED{suffix}_SIZE: usize = {:#x};", buffer.region.size);
        }
        if let Some((device, args)) = channel.mbox.first() {
            if let Some(region) = device.region {
                let _ = writeln!(out, "/// Doorbell.\npub const {name}_DOORBELL: usize = {:#x};", region.start);
            }
            if let Some(number) = args.first() {
                let _ = writeln!(out, "/// Its channel.\npub const {name}_DOORBELL_CHANNEL: u32 = {number};");
            }
            if let Some(number) = device.numbers.first() {
                let _ = writeln!(
                    out,
                    "/// The interrupt when the other side rings.\npub const {name}_DOORBELL_INTERRUPT: u32 = {number};"
                );
            }
        }
    }
    out
}

fn channel_name(channel: &Channel) -> String {
    let kind = if channel.kind == RelationKind::Rpmsg { "RPMSG" } else { "LIBMETAL" };
    format!("{kind}_{}", upper_text(&channel.peer))
}

/// `memory.x` for cortex-m-rt and its like: the firmware's memory as `FLASH` and `RAM`, and every other region.
///
/// The first region that the host loads, or else the first of the domain's memory, holds the code; the next one of
/// the domain's own holds the data; with one region only it is halved.
#[must_use]
pub fn memory_x(layout: &Layout) -> String {
    let mut out = banner(layout, "/*", " */");
    let own: Vec<&Named> = layout
        .firmware
        .iter()
        .chain(layout.regions.iter().filter(|r| r.kind != RegionKind::Carveout && !r.shared))
        .collect();
    let mut distinct: Vec<&Named> = Vec::new();
    for region in own {
        if !distinct.iter().any(|d| d.region.overlaps(region.region)) {
            distinct.push(region);
        }
    }
    out.push_str("MEMORY\n{\n");
    let mut line = |name: &str, start: u64, size: u64| {
        let _ = writeln!(out, "  {name:<20} : ORIGIN = {start:#010x}, LENGTH = {size:#x}");
    };
    match distinct[..] {
        [] => {}
        [one] => {
            let half = one.region.size / 2;
            line("FLASH", one.region.start, half);
            line("RAM", one.region.start + half, one.region.size - half);
        }
        [code, data, ..] => {
            line("FLASH", code.region.start, code.region.size);
            line("RAM", data.region.start, data.region.size);
        }
    }
    for region in &layout.regions {
        if !distinct.iter().take(2).any(|d| d.region.overlaps(region.region)) {
            line(&region.name, region.region.start, region.region.size);
        }
    }
    out.push_str("}\n");
    for region in &layout.regions {
        let name = region.name.to_lowercase();
        let _ = writeln!(
            out,
            "__{name}_start = {:#x};\n__{name}_end = {:#x};",
            region.region.start,
            region.region.start.saturating_add(region.region.size)
        );
    }
    out
}

/// A C header with the names that OpenAMP's and libmetal's examples expect of `platform_info.h`.
#[must_use]
pub fn c_header(layout: &Layout) -> String {
    let guard = format!("TUTTI_{}_PLATFORM_INFO_H", upper_text(&layout.domain));
    let mut out = banner(layout, "/*", " */");
    let _ = writeln!(out, "#ifndef {guard}\n#define {guard}\n");
    let mut define = |name: &str, value: String| {
        let _ = writeln!(out, "#define {name:<32} {value}");
    };
    for region in &layout.regions {
        define(&format!("{}_BASE", region.name), format!("0x{:x}UL", region.region.start));
        define(&format!("{}_SIZE", region.name), format!("0x{:x}UL", region.region.size));
    }
    for device in &layout.devices {
        if let Some(region) = device.region {
            define(&format!("{}_BASEADDR", device.name), format!("0x{:x}UL", region.start));
        }
        if let Some(number) = device.numbers.first() {
            define(&format!("{}_IRQ", device.name), number.to_string());
        }
    }
    let rpmsg: Vec<&Channel> = layout.channels.iter().filter(|c| c.kind == RelationKind::Rpmsg).collect();
    for (i, channel) in rpmsg.iter().enumerate() {
        // The first channel has the plain names; further ones carry their number.
        let suffix = if i == 0 { String::new() } else { format!("_{i}") };
        let mut define = |name: &str, value: String| define(&format!("{name}{suffix}"), value);
        if let [first, second, ..] = &channel.vrings[..] {
            define("NUM_VRINGS", "2".to_owned());
            define("VRING_COUNT", "2".to_owned());
            define("VRING_ALIGN", format!("{VRING_ALIGN:#x}"));
            define("VRING_SIZE", channel.num.to_string());
            define("RING_TX", format!("0x{:x}", first.region.start));
            define("RING_RX", format!("0x{:x}", second.region.start));
            define("SHARED_MEM_PA", format!("0x{:x}UL", first.region.start));
            let end = channel.vrings.iter().chain(&channel.buffers).map(|r| r.region.last()).max().unwrap_or(0);
            define("SHARED_MEM_SIZE", format!("0x{:x}UL", end.saturating_sub(first.region.start).saturating_add(1)));
        }
        if let (Some(first), Some(buffer)) = (channel.vrings.first(), channel.buffers.first()) {
            define("SHARED_BUF_OFFSET", format!("0x{:x}UL", buffer.region.start.saturating_sub(first.region.start)));
            define("SHARED_BUF_PA", format!("0x{:x}UL", buffer.region.start));
            define("SHARED_BUF_SIZE", format!("0x{:x}UL", buffer.region.size));
        }
        doorbell(&mut define, channel);
    }
    let metal: Vec<&Channel> = layout.channels.iter().filter(|c| c.kind == RelationKind::Libmetal).collect();
    for (i, channel) in metal.iter().enumerate() {
        let suffix = match (rpmsg.is_empty(), i) {
            (true, 0) => String::new(),
            _ => format!("_METAL{i}"),
        };
        let mut define = |name: &str, value: String| define(&format!("{name}{suffix}"), value);
        if let Some(first) = channel.buffers.first() {
            define("SHM_BASE_ADDR", format!("0x{:x}UL", first.region.start));
            define("SHM_SIZE", format!("0x{:x}UL", first.region.size));
            define("SHM_DEV_NAME", format!("\"{:x}.shm\"", first.region.start));
        }
        if let Some((timer, region)) = channel.timers.first().and_then(|t| Some((t, t.region?))) {
            define("TTC_BASE_ADDR", format!("0x{:x}UL", region.start));
            define("TTC_DEV_NAME", format!("\"{}\"", device_name(timer)));
        }
        doorbell(&mut define, channel);
    }
    let _ = writeln!(out, "\n#endif");
    out
}

fn device_name(device: &Device) -> String {
    let base = device.region.map_or(0, |r| r.start);
    format!("{base:x}.{}", device.name.to_lowercase().trim_end_matches(|c: char| c.is_ascii_digit()))
}

fn doorbell(define: &mut impl FnMut(&str, String), channel: &Channel) {
    let Some((device, args)) = channel.mbox.first() else { return };
    if let Some(region) = device.region {
        define("POLL_BASE_ADDR", format!("0x{:x}UL", region.start));
        define("IPI_BASE_ADDR", format!("0x{:x}UL", region.start));
        define("KICK_DEV_NAME", format!("\"{}\"", device_name(device)));
        define("KICK_BUS_NAME", "\"generic\"".to_owned());
    }
    if let Some(number) = device.numbers.first() {
        define("IPI_IRQ_VECT_ID", number.to_string());
    }
    define("IPI_CHN_BITMASK", format!("0x{:x}", 1u64 << args.first().copied().unwrap_or(0).min(63)));
}

/// An overlay for a Zephyr board: the domain's memories as `zephyr,memory-region`, its devices switched on, and the
/// `chosen` entries that Zephyr's OpenAMP samples read.
#[must_use]
pub fn zephyr_overlay(layout: &Layout) -> String {
    let mut out = banner(layout, "/*", " */");
    out.push_str("/ {\n\tchosen {\n");
    let sram = layout.regions.iter().find(|r| r.kind != RegionKind::Carveout && !r.shared);
    if let Some(sram) = sram {
        let _ = writeln!(out, "\t\tzephyr,sram = &{};", sram.name.to_lowercase());
    }
    let shared: Vec<&Named> = layout
        .channels
        .iter()
        .filter(|c| c.kind == RelationKind::Rpmsg)
        .flat_map(|c| c.vrings.iter().chain(&c.buffers))
        .collect();
    if !shared.is_empty() {
        out.push_str("\t\tzephyr,ipc_shm = &ipc_shm;\n");
    }
    if let Some(device) =
        layout.channels.iter().filter(|c| c.kind == RelationKind::Rpmsg).find_map(|c| c.mbox.first()).map(|(d, _)| d)
    {
        let _ = writeln!(out, "\t\tzephyr,ipc = &{};", device.name.to_lowercase());
    }
    out.push_str("\t};\n");
    for region in layout.regions.iter().filter(|r| r.kind != RegionKind::Carveout) {
        memory(&mut out, region);
    }
    if let (Some(start), Some(last)) =
        (shared.iter().map(|r| r.region.start).min(), shared.iter().map(|r| r.region.last()).max())
    {
        node(&mut out, "ipc_shm", "memory", start, (last - start).saturating_add(1), Some("IPC_SHM"));
    }
    for region in layout.firmware.iter().filter(|r| r.kind == RegionKind::Carveout) {
        memory(&mut out, region);
    }
    out.push_str("};\n");
    for device in &layout.devices {
        let _ = writeln!(out, "\n&{} {{\n\tstatus = \"okay\";\n}};", device.name.to_lowercase());
    }
    out
}

fn memory(out: &mut String, named: &Named) {
    let region = &named.region;
    node(out, &named.name.to_lowercase(), "memory", region.start, region.size, Some(&named.name));
}

fn node(out: &mut String, label: &str, name: &str, start: u64, size: u64, region: Option<&str>) {
    let _ = writeln!(out, "\n\t{label}: {name}@{start:x} {{");
    out.push_str("\t\tcompatible = \"zephyr,memory-region\", \"mmio-sram\";\n");
    // Zephyr's boards have one cell of each below 4 GiB.
    let cells = |n: u64| {
        if start > u64::from(u32::MAX) { format!("{:#x} {:#x}", n >> 32, n & 0xffff_ffff) } else { format!("{n:#x}") }
    };
    let _ = writeln!(out, "\t\treg = <{} {}>;", cells(start), cells(size));
    if let Some(region) = region {
        let _ = writeln!(out, "\t\tzephyr,memory-region = \"{region}\";");
    }
    out.push_str("\t};\n");
}
