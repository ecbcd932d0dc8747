//! The remote cores that the Linux kernel runs: `/sys/class/remoteproc`, their messages, traces and core dumps.
//!
//! | what | where (`Documentation/ABI/testing/sysfs-class-remoteproc`, `drivers/rpmsg/rpmsg_ctrl.c`, `drivers/base/devcoredump.c`) |
//! |---|---|
//! | state, firmware, starting and stopping | `/sys/class/remoteproc/remoteprocN/{state,firmware,name,recovery,coredump}` |
//! | text | `/sys/kernel/debug/remoteproc/remoteprocN/trace*` |
//! | core dumps | `/sys/class/devcoredump/devcdN/{data,failing_device}` |
//! | endpoints | `/dev/rpmsg_ctrlN`, `/dev/rpmsgN`, `/sys/class/rpmsg/rpmsgN/{name,src,dst}` |
//!
//! The kernel's own state is the truth; this only asks for changes and looks. User space cannot suspend a remote
//! ([`Abilities::suspend`](tutti_remoteproc::life::Abilities) is false), and the kernel counts no generations: a remote that was found running is in generation 1,
//! each start through a [`LinuxCore`] adds one, and a restart by the kernel's own recovery is seen as the state going
//! through `crashed`, if one looks in time.
//!
//! All paths are below a root, so that tests run against a tree of their own.

mod core;
mod endpoint;

pub use self::core::{DoctorFinding, LinuxCore, LinuxFault, doctor, list};
pub use endpoint::{EndpointFile, EndpointFileError};
