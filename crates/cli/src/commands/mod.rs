//! The commands: one file each, with its arguments and what it does.

pub(crate) mod amp;
pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod console;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod dt;
pub(crate) mod forget;
pub(crate) mod image;
pub(crate) mod lease;
pub(crate) mod leave;
mod log;
pub(crate) mod man;
pub(crate) mod nearby;
pub(crate) mod offer;
pub(crate) mod pair;
pub(crate) mod place;
pub(crate) mod read;
pub(crate) mod recovery;
pub(crate) mod rename;
pub(crate) mod resources;
pub(crate) mod role;
pub(crate) mod satellite;
pub(crate) mod screen;
pub(crate) mod set;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod up;
pub(crate) mod update;
pub(crate) mod watch;

use crate::{
    args::Command,
    context::Context,
    failure::{Exit, Failure},
};

/// Does what was asked.
pub(crate) async fn run(command: Command, context: &mut Context) -> Result<Exit, Failure> {
    match command {
        Command::Up(args) => up::run(args, context).await,
        Command::Update(args) => update::run(args, context).await,
        Command::Down(args) => down::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Devices(args) => devices::run(args, context).await,
        Command::Nearby(args) => nearby::run(args, context).await,
        Command::Resources(args) => resources::run(args, context).await,
        Command::Read(args) => read::run(args, context).await,
        Command::Set(args) => set::run(args, context).await,
        Command::Lease(args) => lease::run(args, context).await,
        Command::Pair(args) => pair::run(args, context).await,
        Command::Forget(args) => forget::run(args, context).await,
        Command::Leave(args) => leave::run(args, context).await,
        Command::Role(args) => role::run(args, context).await,
        Command::Rename(args) => rename::run(args, context).await,
        Command::Recovery(args) => recovery::run(args, context).await,
        Command::Offer(args) => offer::run(args, context).await,
        Command::Store(args) => store::run(args, context).await,
        Command::Satellite(args) => satellite::run(args, context).await,
        Command::Screen(args) => screen::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Console(args) => console::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Demo(args) => demo::run(args, context).await,
        Command::DemoCore(args) => crate::demo::core::run(&args),
        Command::Bench(args) => bench::run(args, context),
        Command::Dt(args) => dt::run(args, context),
        Command::Image(args) => image::run(args, context).await,
        Command::App(args) => app::run(args, context).await,
        Command::Place(args) => place::run(args, context).await,
        Command::Amp(args) => amp::run(args, context).await,
        Command::Api(args) => api::run(args, context),
        Command::Completions(args) => completions::run(args, context),
        Command::Man(args) => man::run(args, context),
    }
}
