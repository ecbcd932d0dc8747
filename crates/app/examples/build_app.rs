//! Makes apps of core modules: `build_app MODULE… FOLDER` writes `FOLDER/NAME.wasm`, a component that can be carried.

use std::{path::Path, process::ExitCode};

fn build(module: &str, folder: &str) -> Result<(), String> {
    let name = Path::new(module).file_name().ok_or_else(|| format!("{module}: not a file"))?;
    let bytes = std::fs::read(module).map_err(|error| format!("{module}: {error}"))?;
    let component = tutti_app::carry::component(&bytes).map_err(|error| format!("{module}: {error}"))?;
    let out = Path::new(folder).join(name);
    std::fs::write(&out, component).map_err(|error| format!("{}: {error}", out.display()))
}

#[expect(clippy::print_stderr, reason = "a command talks to its terminal")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, modules)) = args.split_last().filter(|(_, modules)| !modules.is_empty()) else {
        eprintln!("Usage: build_app MODULE… FOLDER");
        return ExitCode::from(2);
    };
    match modules.iter().try_for_each(|module| build(module, folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
