//! The remote cores that the Linux kernel runs: `/sys/class/remoteproc`, their messages, traces and core dumps.
//!
//! | what | where (`Documentation/ABI/testing/sysfs-class-remoteproc`, `drivers/rpmsg/rpmsg_ctrl.c`, `drivers/base/devcoredump.c`) |
//! |---|---|
//! | state, firmware, starting and stopping | `/sys/class/remoteproc/remoteprocN/{state,firmware,name,recovery,coredump}` |
//! | text | `/sys/kernel/debug/remoteproc/remoteprocN/trace*` |
//! | core dumps | `/sys/class/devcoredump/devcdN/{data,failing_device}` |
//! | what remotes announced | `/sys/bus/rpmsg/devices/*/{name,dst}` |
//! | endpoints | `/dev/rpmsg_ctrlN`, `/dev/rpmsgN`, `/sys/class/rpmsg/rpmsgN/{name,src,dst}` |
//!
//! The kernel's own state is the truth; this only asks for changes and looks. User space cannot suspend a remote
//! ([`Abilities::suspend`] is false), the kernel detaches only from what it has attached to, and it counts no
//! generations: a remote that was found running is in generation 1, and each start through a [`LinuxCore`] adds one.
//!
//! A crash is the kernel's business first. If its own recovery is enabled (the file `recovery`; that is its default),
//! it starts the remote again by itself, which takes milliseconds, and this says that it was [`Sign::Restarted`]: it
//! sees the state go through `crashed` and `offline` if it looks in time, and else the dump that the kernel has made
//! meanwhile, which is why dumps are enabled for whoever gives a file for them. Without the kernel's recovery the
//! remote stays `crashed`, and the recovery is that of the [`Config`]; there is no dump of such a crash, since the
//! kernel makes dumps only in its own recovery (`rproc_boot_recovery` in `drivers/remoteproc/remoteproc_core.c`).
//!
//! [`Abilities::suspend`]: tutti_remoteproc::life::Abilities
//! [`Sign::Restarted`]: tutti_remoteproc::life::Sign::Restarted
//! [`Config`]: tutti_remoteproc::life::Config
//!
//! All paths are below a root, so that tests run against a tree of their own.

mod channel;
mod core;
mod endpoint;

pub use self::channel::{Channel, channels};
pub use self::core::{DoctorFinding, LinuxCore, LinuxFault, doctor, list};
pub use endpoint::{EndpointFile, EndpointFileError};
