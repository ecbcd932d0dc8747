//! `cargo bench -p tutti-amp-host`: messages between two pinned processes, beside what the machine can do at best.

fn main() -> std::process::ExitCode {
    tutti_amp_host::bench::main()
}
