//! Every parser of foreign bytes, as a function from bytes to nothing that must return: no panic, no endless loop, no
//! allocation out of proportion. The functions also assert what must hold of whatever they accept.
//!
//! # Running
//!
//! ```text
//! cargo test                                                            # replay the corpus and mutations of it
//! TUTTI_FUZZ_ROUNDS=100000 cargo test                                   # the same for longer
//! cargo +nightly fuzz run --features libfuzzer ticket                   # search, guided by coverage
//! cargo run --bin seed-corpus                                           # write the seeds, and a file per target
//! ```
//!
//! # Adding a target
//!
//! Write a function from `&[u8]` in a file under `src/targets/`, and one that gives some valid inputs; add a line to
//! [`TARGETS`]; run `cargo run --bin seed-corpus`, which writes the rest. Then commit everything under `fuzz/`.
#![forbid(unsafe_code)]

pub mod mutate;
mod rng;
mod targets;

use targets::{
    amp, app, control, device, devicetree, fabric, group, image, kernel, message, model, pairing, rpmsg, satellite,
    screen, ticket, vhost,
};

/// One parser.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its corpus folder and of its fuzzer.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Inputs that it accepts and that reach deep, each with a name. The same at every call.
    pub seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "sections", run: model::sections, seeds: model::section_seeds },
    Target { name: "record", run: model::record, seeds: model::record_seeds },
    Target { name: "signed", run: model::signed, seeds: model::signed_seeds },
    Target { name: "ticket", run: ticket::ticket, seeds: ticket::seeds },
    Target { name: "ticket_body", run: ticket::body, seeds: ticket::body_seeds },
    Target { name: "pairing_host", run: pairing::host, seeds: pairing::host_seeds },
    Target { name: "pairing_joiner", run: pairing::joiner, seeds: pairing::joiner_seeds },
    Target { name: "pairing_restore", run: pairing::restore, seeds: pairing::restore_seeds },
    Target { name: "pairing_wire", run: pairing::wire, seeds: pairing::wire_seeds },
    Target { name: "group_entry", run: group::entry, seeds: group::entry_seeds },
    Target { name: "group", run: group::group, seeds: group::group_seeds },
    Target { name: "group_merge", run: group::merge, seeds: group::merge_seeds },
    Target { name: "group_members", run: group::members, seeds: group::members_seeds },
    Target { name: "recovery_words", run: fabric::recovery_words, seeds: fabric::recovery_words_seeds },
    Target { name: "address_book", run: fabric::address_book, seeds: fabric::address_book_seeds },
    Target { name: "session_control", run: fabric::control, seeds: fabric::control_seeds },
    Target { name: "session_stream", run: fabric::stream, seeds: fabric::stream_seeds },
    Target { name: "mdns_txt", run: fabric::txt, seeds: fabric::txt_seeds },
    Target { name: "registration", run: fabric::registration, seeds: fabric::registration_seeds },
    Target { name: "pool_notice", run: message::notice, seeds: message::notice_seeds },
    Target { name: "pool_request", run: message::request, seeds: message::request_seeds },
    Target { name: "pool_reply", run: message::reply, seeds: message::reply_seeds },
    Target { name: "pool_stream_header", run: message::stream_header, seeds: message::stream_header_seeds },
    Target { name: "pool_stream_frame", run: message::stream_frame, seeds: message::stream_frame_seeds },
    Target { name: "hand_over", run: message::hand_over, seeds: message::hand_over_seeds },
    Target { name: "storage_path", run: message::storage_path, seeds: message::storage_path_seeds },
    Target { name: "screen_text", run: screen::screen_text, seeds: screen::screen_text_seeds },
    Target { name: "picture", run: screen::picture, seeds: screen::picture_seeds },
    Target { name: "update_image", run: device::image, seeds: device::image_seeds },
    Target { name: "boot_record", run: device::record, seeds: device::record_seeds },
    Target { name: "carried", run: device::carried, seeds: device::carried_seeds },
    Target { name: "device_archive", run: device::archive, seeds: device::archive_seeds },
    Target { name: "device_network", run: device::network, seeds: device::network_seeds },
    Target { name: "device_words", run: device::words, seeds: device::words_seeds },
    Target { name: "kernel_files", run: kernel::kernel_files, seeds: kernel::seeds },
    Target { name: "control_events", run: control::event_stream, seeds: control::event_stream_seeds },
    Target { name: "control_json", run: control::json, seeds: control::json_seeds },
    Target { name: "control_words", run: control::words, seeds: control::words_seeds },
    Target { name: "dt_source", run: devicetree::source, seeds: devicetree::source_seeds },
    Target { name: "dt_blob", run: devicetree::blob, seeds: devicetree::blob_seeds },
    Target { name: "dt_overlay", run: devicetree::overlay, seeds: devicetree::overlay_seeds },
    Target { name: "dt_yaml", run: devicetree::yaml, seeds: devicetree::yaml_seeds },
    Target { name: "vhost_front_end", run: vhost::front_end, seeds: vhost::seeds },
    Target { name: "rpmsg_wire", run: rpmsg::wire, seeds: rpmsg::wire_seeds },
    Target { name: "rpmsg_messages", run: rpmsg::messages, seeds: rpmsg::messages_seeds },
    Target { name: "virtqueue", run: rpmsg::queue, seeds: rpmsg::queue_seeds },
    Target { name: "vdev", run: rpmsg::vdev, seeds: rpmsg::vdev_seeds },
    Target { name: "resource_table", run: amp::resource_table, seeds: amp::resource_table_seeds },
    Target { name: "firmware", run: amp::firmware, seeds: amp::firmware_seeds },
    Target { name: "trace", run: amp::trace, seeds: amp::trace_seeds },
    Target { name: "proxy_calls", run: amp::proxy_calls, seeds: amp::proxy_calls_seeds },
    Target { name: "satellite_host", run: satellite::host, seeds: satellite::host_seeds },
    Target { name: "satellite_small", run: satellite::small, seeds: satellite::small_seeds },
    Target { name: "serial_line", run: satellite::line, seeds: satellite::line_seeds },
    Target { name: "app_message", run: app::message, seeds: app::message_seeds },
    Target { name: "app_record", run: app::record, seeds: app::record_seeds },
    Target { name: "standby_message", run: app::standby_message, seeds: app::standby_message_seeds },
    Target { name: "standby_record", run: app::standby_record, seeds: app::standby_record_seeds },
    Target { name: "app_wire", run: app::wire, seeds: app::wire_seeds },
    Target { name: "app_journal", run: app::journal, seeds: app::journal_seeds },
    Target { name: "app_step", run: app::step, seeds: app::step_seeds },
    Target { name: "app_snapshot", run: app::snapshot, seeds: app::snapshot_seeds },
    Target { name: "image_bundle", run: image::bundle, seeds: image::bundle_seeds },
    Target { name: "image_manifest", run: image::manifest, seeds: image::manifest_seeds },
    Target { name: "image_product", run: image::product, seeds: image::product_seeds },
    Target { name: "image_parts", run: image::parts, seeds: image::parts_seeds },
    Target { name: "image_elf", run: image::elf, seeds: image::elf_seeds },
    Target { name: "image_modinfo", run: image::modinfo, seeds: image::modinfo_seeds },
    Target { name: "image_cable", run: image::cable, seeds: image::cable_seeds },
    Target { name: "app_package", run: app::package, seeds: app::package_seeds },
    Target { name: "app_manifest", run: app::manifest, seeds: app::manifest_seeds },
    Target { name: "app_component", run: app::component, seeds: app::component_seeds },
];

/// The target of this name, for the fuzzers, which know that it exists.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("run `cargo run --bin seed-corpus`: this fuzzer is out of date").run)(bytes);
}

/// The fuzzer of a target: `fuzz_targets/NAME.rs`.
pub fn fuzzer_source(target: &Target) -> String {
    format!(
        "//! Written by `cargo run --bin seed-corpus`.\n#![no_main]\n\n\
         libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tutti_fuzz::run(\"{}\", bytes));\n",
        target.name
    )
}

/// The entries of all fuzzers in `Cargo.toml`.
pub fn manifest_entries() -> String {
    let entry = |name| {
        format!(
            "\n[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\nrequired-features = [\"libfuzzer\"]\n\
             test = false\ndoc = false\nbench = false\n"
        )
    };
    TARGETS.iter().map(|target| entry(target.name)).collect()
}
