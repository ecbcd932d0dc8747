//! The first process: everything in its order, then one loop until the end.

use std::{
    fs, io,
    os::fd::AsFd,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{WaitOptions, WaitStatus, wait},
    system::RebootCommand,
};
use tutti_update::{Choice, Failure, System, carried, system::FILE};

use crate::{
    boot,
    button::Buttons,
    clock::Clock,
    cmdline::CommandLine,
    devices::{self, Devices},
    gpio,
    kernel_log::KernelLog,
    log::Log,
    modules::load,
    mounts::{self, STATE},
    net::interfaces::{Interfaces, RESOLV},
    notify::Said,
    once::Once,
    packed,
    power::Goal,
    process::{NOTIFY, Notify, Process},
    settings::{self, Mode, Network, Settings, State},
    signals::Signals,
    supervise::{Action, Limits, Supervisor},
    watchdog::Watchdog,
};

/// The longest that the loop sleeps.
const NAP: Duration = Duration::from_secs(1);

/// How long processes have to end when all are told to, twice.
const GOODBYE: Duration = Duration::from_secs(3);

/// How often new power buttons are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a device waits before it starts anew if the system that it has cannot be started.
pub(crate) const SORRY: Duration = Duration::from_secs(5);

/// How long a device waits before it starts anew if there is nothing to be run.
const DESPAIR: Duration = Duration::from_secs(60);

/// Is process 1, from the kernel's start to the end of the machine.
pub fn run() -> ! {
    let mut init = Init::begin();
    init.prepare();
    let goal = init.live();
    init.end(goal)
}

struct Init {
    log: Log,
    line: CommandLine,
    settings: Settings,
    signals: Signals,
    kernel: Option<KernelLog>,
    devices: Devices,
    notify: Option<Notify>,
    /// Whether the node has met another member of its group, or is where it was alone before.
    joined: bool,
    network: Option<Interfaces>,
    clock: Option<Clock>,
    buttons: Buttons,
    looked: Option<Instant>,
    watchdog: Watchdog,
    keeper: Supervisor,
    node: Option<Process>,
    /// Commands that wait for the node to be ready.
    once: Once,
    goal: Option<Goal>,
    system: Option<System>,
    /// When a system on trial has failed.
    deadline: Option<Instant>,
}

impl Init {
    /// What everything else stands on.
    fn begin() -> Self {
        let mut log = Log::new();
        let mounted = mounts::mount_all();
        let line = CommandLine::running();
        boot::adopt(line.own_kernel, &mut log);
        let version = env!("CARGO_PKG_VERSION");
        let told = System::read(Path::new(FILE));
        let second = if told.is_some_and(|it| it.choice() != Choice::BuiltIn) { " of the new system" } else { "" };
        log.say(format_args!(
            "version {version}{second}, Linux {}",
            rustix::system::uname().release().to_string_lossy()
        ));
        for (place, error) in &mounted.failures {
            log.say(format_args!("{place} cannot be mounted: {error}; going on without it"));
        }
        // Ctrl-alt-del is to be a wish, not an order.
        let _ = rustix::system::reboot(RebootCommand::CadOff);
        line.complaints.iter().for_each(|complaint| log.say(complaint));
        let settings = read_settings(&mut log);
        let signals = Signals::new(&mut log);
        let devices = Devices::new(!mounted.devtmpfs, &mut log);
        Self {
            signals,
            kernel: None,
            devices,
            notify: None,
            joined: false,
            network: None,
            clock: None,
            buttons: Buttons::default(),
            looked: None,
            watchdog: Watchdog::none(),
            keeper: Supervisor::new(Instant::now(), Limits::default()),
            node: None,
            once: Once::default(),
            goal: None,
            system: None,
            deadline: None,
            log,
            line,
            settings,
        }
    }

    /// Everything that the node needs.
    fn prepare(&mut self) {
        self.devices.look(&mut self.log);
        if self.devices.available() > 0 {
            // A kernel that cannot load modules has no such file, and does not ask.
            let _ = load::register(c"/init");
        }
        if packed::is_first_stage(&self.settings) {
            self.enter();
        }
        match KernelLog::open() {
            Ok(kernel) => self.kernel = Some(kernel),
            Err(error) => self.log.say(format_args!("the kernel's log cannot be read: {error}")),
        }
        for module in std::mem::take(&mut self.settings.modules) {
            self.devices.load(&module, &mut self.log);
        }
        gpio::make(&self.settings.gpio_sim, &mut self.log);
        self.devices.hear(&mut self.log);
        self.decide();
        let trial = self.system.as_ref().and_then(|system| system.trial);
        self.deadline = trial.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
        let name = self.line.hostname.as_ref().unwrap_or(&self.settings.hostname);
        if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
            self.log.say(format_args!("the machine cannot be called {name}: {error}"));
        }
        // Where programs look for it, if the image has not led them there already.
        let _ = std::os::unix::fs::symlink(RESOLV, "/etc/resolv.conf");
        let name = name.clone();
        if let Err(error) = mounts::seal_root() {
            self.log.say(format_args!("the system cannot be made read-only: {error}"));
        }
        let network = self.network_wanted();
        self.network = Some(Interfaces::new(network, &name, &mut self.log));
        self.clock = Some(Clock::new(self.settings.time_server, &mut self.log));
        self.watchdog = Watchdog::open(self.settings.watchdog.device.as_deref(), &mut self.log);
        match Notify::open() {
            Ok(notify) => self.notify = Some(notify),
            Err(error) => self.log.say(format_args!("the node will not be heard: {error}")),
        }
        let ticket = self.settings.node.join.take().map(|ticket| vec!["pair".to_owned(), ticket]);
        self.once = Once::new(ticket.into_iter().chain(self.settings.node.once.drain(..)));
    }

    /// Finds the state, and with it which system is to run. Does not come back if that is another one.
    fn decide(&mut self) {
        if self.line.rescue && !boot::is_second() {
            self.rescue();
        }
        let on_disk = self.mount_state();
        self.log.keep_in(&Path::new(STATE).join("log"), self.settings.log_bytes);
        self.system = if boot::is_second() {
            System::read(Path::new(FILE))
        } else {
            boot::decide(&self.settings, self.line.slot.as_deref(), on_disk, &mut self.log)
        };
    }

    /// The first stage of a packed system: that system goes on from here.
    fn enter(&mut self) -> ! {
        self.decide();
        let why = match self.settings.system.clone().filter(|_| !packed::has_file()) {
            None => packed::enter(&packed::From::File, &mut self.devices, &mut self.log),
            Some(system) => match self.wait_for(&system.device, packed::DISK_PATIENCE) {
                Some(disk) => packed::enter(&packed::From::Disk(disk, &system), &mut self.devices, &mut self.log),
                None => format!("{} has not appeared", system.device),
            },
        };
        self.log.say(format_args!("the system cannot be started: {why}; the device starts anew"));
        if let Some(system) = self.system.as_ref().filter(|system| system.trial.is_some())
            && let Err(error) = boot::condemn(system, Failure::NotStarted)
        {
            // The counter of its starts ends it then.
            self.log.say(format_args!("that it has failed cannot be written down: {error}"));
        }
        self.log.close();
        let _ = mounts::unmount_state();
        // Somebody may want to read it, and nobody shall wear anything out by starting without an end.
        thread::sleep(SORRY);
        Goal::Reboot.take();
        despair()
    }

    /// The settings' network, unless the kernel's command line has another.
    fn network_wanted(&mut self) -> Network {
        let network = self.settings.network.clone();
        match self.line.ip.as_deref() {
            None => network,
            Some("dhcp") => Network { mode: Mode::Dhcp, ..network },
            Some("none") => Network { mode: Mode::None, ..network },
            Some(text) => {
                let (own, gateway) = text.split_once(',').map_or((text, None), |(own, gateway)| (own, Some(gateway)));
                match (own.parse(), gateway.map(str::parse).transpose()) {
                    (Ok(own), Ok(gateway)) => {
                        let interface = network.interface.or_else(|| Some("eth0".into()));
                        Network { mode: Mode::Static, address: Some(own), gateway, interface, ..network }
                    }
                    _ => {
                        self.log.say(format_args!("tutti.ip={text}: write it as dhcp, none, or 10.0.0.2/24,10.0.0.1"));
                        network
                    }
                }
            }
        }
    }

    /// Returns whether it is on a disk.
    fn mount_state(&mut self) -> bool {
        if mounts::is_mounted(STATE) {
            return true;
        }
        let State { device, kind, wait } = self.settings.state.clone();
        let device = match self.line.state.as_deref() {
            None => device,
            Some("none") => None,
            Some(other) => match other.parse() {
                Ok(device) => Some(device),
                Err(error) => {
                    self.log.say(format_args!("tutti.state: {error}"));
                    device
                }
            },
        };
        let mounted = device.ok_or(None).and_then(|device| {
            let found = self.wait_for(&device, Duration::from_secs(wait.into()));
            let found = found.ok_or_else(|| Some(format!("{device} has not appeared within {wait} s")))?;
            mounts::mount_state(&found, &kind)
                .map_err(|error| Some(format!("{device} cannot be mounted as {kind}: {error}")))
        });
        let on_disk = mounted.is_ok();
        if let Err(why) = mounted {
            if let Some(why) = why {
                self.log.say(format_args!("{why}; the state is kept in memory, and lost at power off"));
            }
            if let Err(error) = mounts::mount_state_in_memory() {
                self.log.say(format_args!("there is not even memory for the state: {error}"));
            }
        }
        on_disk
    }

    fn wait_for(&mut self, device: &settings::Device, patience: Duration) -> Option<std::path::PathBuf> {
        let end = Instant::now() + patience;
        loop {
            if let Some(path) = devices::find(device) {
                return Some(path);
            }
            if Instant::now() >= end {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
            self.devices.hear(&mut self.log);
        }
    }

    /// A shell on the console, until it is left. Only if somebody asked for it who can change the kernel's command line.
    ///
    /// Its session has the console for its terminal, where its program can see to that: otherwise there are no jobs, and
    /// Ctrl-C ends nothing (`tty_ioctl(2)`, TIOCSCTTY). A wish of its user's for the end (`poweroff`) comes as a signal.
    fn rescue(&mut self) {
        let shells = ["/bin/busybox", "/bin/sh", "/bin/bash"];
        let Some(shell) = shells.iter().find(|shell| Path::new(shell).exists()) else {
            self.log.say("tutti.rescue: the image has no shell; add one to the product");
            return;
        };
        self.log.say(format_args!("tutti.rescue: {shell}; leave it to go on"));
        let arguments: &[&str] = if shell.ends_with("busybox") { &["setsid", "-c", "sh"] } else { &[] };
        if let Err(error) = Command::new(shell).args(arguments).status() {
            self.log.say(format_args!("{shell} did not run: {error}"));
        }
        if let Some(goal) = self.signals.goal() {
            self.log.close();
            let _ = mounts::unmount_state();
            let error = goal.take();
            self.log.say(format_args!("the kernel refuses: {error}; going on"));
        }
    }

    /// Until somebody asks for the end.
    fn live(&mut self) -> Goal {
        loop {
            let now = Instant::now();
            self.goal = self.goal.or_else(|| self.signals.goal());
            if let Some(goal) = self.goal {
                self.keeper.stop();
                if self.keeper.is_stopped() {
                    return goal;
                }
            }
            self.reap();
            self.hear();
            self.mind_node(now);
            self.mind_trial(now);
            if let Some(network) = &mut self.network {
                network.tick(now, &mut self.log);
            }
            if let Some(clock) = &mut self.clock {
                clock.tick(now, &mut self.log);
            }
            if self.looked.is_none_or(|looked| now >= looked + LOOK_EVERY) {
                self.looked = Some(now);
                self.buttons.look();
            }
            if self.buttons.pressed() {
                self.log.say("the power button was pressed");
                self.goal = Some(Goal::PowerOff);
            }
            self.log.tick(now);
            self.watchdog.feed(self.keeper.feed(now), now, &mut self.log);
            self.sleep();
        }
    }

    /// What the world says.
    fn hear(&mut self) {
        self.devices.hear(&mut self.log);
        if let Some(kernel) = &mut self.kernel {
            kernel.read(|line| self.log.kernel(line));
        }
        let notified: Vec<_> = self.notify.iter().flat_map(Notify::hear).collect();
        // After that, so that what was written before a word stands before it in the log.
        for process in self.node.iter_mut().chain(self.once.process_mut()) {
            process.read(|line| self.log.node(line));
        }
        for said in notified {
            let now = Instant::now();
            match said {
                Said::Ready if !self.keeper.is_ready() => {
                    self.keeper.ready(now);
                    let uptime = self.log.uptime();
                    self.log.say(format_args!("the node is ready, {:.2} s after the start", uptime.as_secs_f64()));
                }
                Said::Heartbeat => self.keeper.heartbeat(now),
                Said::Status(status) => self.log.say(format_args!("node: {status}")),
                Said::Reboot => self.goal = Some(Goal::Reboot),
                Said::Joined if !self.joined => {
                    self.joined = true;
                    let uptime = self.log.uptime();
                    self.log.say(format_args!("it is in the pool, {:.2} s after the start", uptime.as_secs_f64()));
                    if self.deadline.take().is_some() {
                        self.confirm();
                    }
                }
                Said::Ready | Said::Stopping | Said::Joined => {}
            }
        }
    }

    /// The system on trial has joined the pool.
    fn confirm(&mut self) {
        let Some(system) = &self.system else { return };
        match boot::confirm(system) {
            Ok(_) => {
                self.log.say(format_args!("{} {} has joined the pool: it is good", system.product, system.version))
            }
            Err(error) => self.log.say(format_args!("that this system is good cannot be written down: {error}")),
        }
    }

    /// A system on trial that has not joined in time makes room for the one before it.
    fn mind_trial(&mut self, now: Instant) {
        let Some(system) = self.system.as_ref().filter(|_| self.deadline.is_some_and(|at| now >= at)) else { return };
        self.deadline = None;
        let wait = system.trial.unwrap_or_default();
        self.log.say(format_args!("this system has not joined the pool within {wait} s; the one before it runs again"));
        if let Err(error) = boot::condemn(system, Failure::NotJoined) {
            // The counter of its starts ends it then.
            self.log.say(format_args!("that it has failed cannot be written down: {error}"));
        }
        self.goal = Some(Goal::Reboot);
    }

    fn mind_node(&mut self, now: Instant) {
        match self.keeper.poll(now) {
            Some(Action::Start) => self.start_node(now),
            Some(Action::Terminate) => {
                self.log.say("asking the node to end");
                self.node.iter().for_each(Process::terminate);
            }
            Some(Action::Kill(reason)) => {
                self.log.say(format_args!("the node was killed: {}", reason.words()));
                self.node.iter().for_each(Process::kill);
            }
            None => {}
        }
        if self.keeper.is_ready() && self.goal.is_none() && self.once.is_due(now) {
            let mut command = Command::new(&self.settings.node.program);
            self.environment(&mut command);
            self.once.start(command, &mut self.log);
        }
    }

    fn start_node(&mut self, now: Instant) {
        let mut command = Command::new(&self.settings.node.program);
        command.args(["up", "--foreground", "--state", "/state/tutti", "--runtime-dir", "/run/tutti"]);
        if Path::new(carried::FILE).exists() {
            command.args(["--carried", carried::FILE]);
        }
        command.args(&self.settings.node.arguments).args(&self.line.node);
        self.environment(&mut command);
        command.env("NOTIFY_SOCKET", NOTIFY);
        let heartbeat = Limits::default().heartbeat_within;
        command.env("WATCHDOG_USEC", heartbeat.as_micros().to_string());
        match Process::start(&mut command) {
            Ok(process) => self.node = Some(process),
            Err(error) => {
                self.log.say(format_args!("{} cannot be started: {error}", self.settings.node.program.display()));
                self.keeper.ended(now);
            }
        }
    }

    fn environment(&self, command: &mut Command) {
        command.env_clear().envs(&self.settings.node.environment).current_dir("/");
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", STATE).env("TERM", "linux");
    }

    /// Ends what has ended.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.once.ended(pid, status, &mut self.log);
            let Some(mut node) = self.node.take_if(|node| node.pid == pid) else { continue };
            node.read(|line| self.log.node(line));
            // What it has started and left behind would keep its files and ports.
            node.kill();
            let now = Instant::now();
            self.keeper.ended(now);
            let how = how_it_ended(status);
            match self.keeper.pausing(now) {
                Some(pause) => self.log.say(format_args!(
                    "the node {how}; it is started again in {:.1} s (start {})",
                    pause.as_secs_f64(),
                    self.keeper.starts() + 1
                )),
                None => self.log.say(format_args!("the node {how}")),
            }
        }
    }

    fn sleep(&mut self) {
        let now = Instant::now();
        let next = self
            .keeper
            .next()
            .into_iter()
            .chain(self.deadline)
            .chain(self.network.as_ref().map(Interfaces::next))
            .min();
        let wake = next.map_or(NAP, |at| at.saturating_duration_since(now)).min(NAP);
        let timeout = Timespec { tv_sec: wake.as_secs().cast_signed(), tv_nsec: wake.subsec_nanos().into() };
        let kernel = self.kernel.as_ref().map(KernelLog::fd);
        let hardware = self.devices.fd();
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        let wanted = PollFlags::IN;
        fds.push(PollFd::from_borrowed_fd(self.signals.fd(), wanted));
        fds.extend(kernel.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), wanted)));
        fds.extend(hardware.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), wanted)));
        fds.extend(self.notify.iter().map(|notify| PollFd::from_borrowed_fd(notify.fd(), wanted)));
        let processes = self.node.iter().chain(self.once.process());
        fds.extend(processes.flat_map(Process::fds).map(|fd| PollFd::from_borrowed_fd(fd, wanted)));
        let network = self.network.iter().flat_map(Interfaces::fds);
        fds.extend(network.map(|fd| PollFd::from_borrowed_fd(fd, wanted)));
        fds.extend(self.buttons.fds().map(|fd| PollFd::from_borrowed_fd(fd, wanted)));
        let clock = self.clock.iter().filter_map(Clock::fd);
        fds.extend(clock.map(|fd| PollFd::from_borrowed_fd(fd, wanted)));
        // An interrupted sleep is over, too.
        let _ = poll(&mut fds, Some(&timeout));
        self.signals.drain();
    }

    /// Everything ends.
    fn end(mut self, goal: Goal) -> ! {
        self.log.say(match goal {
            Goal::Reboot => "the device starts anew",
            Goal::PowerOff => "the device is switched off",
            Goal::Halt => "the device stands still",
        });
        Goal::end_all(GOODBYE);
        // Armed, it starts a device anew that hangs from here on; but not one that is to stay off.
        self.watchdog.end(goal == Goal::Reboot);
        self.log.close();
        if let Err(error) = mounts::unmount_state() {
            self.log.say(format_args!("the state partition cannot be unmounted: {error}; its journal will mend it"));
        }
        let error = goal.take();
        self.log.say(format_args!("the kernel refuses: {error}"));
        loop {
            thread::sleep(DESPAIR);
            goal.take();
        }
    }
}

pub(crate) fn how_it_ended(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("has ended with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "has ended".into(),
    }
}

fn read_settings(log: &mut Log) -> Settings {
    let path = [settings::CARRIED, settings::PATH].into_iter().find(|path| Path::new(path).exists());
    let path = path.unwrap_or(settings::PATH);
    let text = match fs::metadata(path) {
        Ok(about) if about.len() > settings::MAX => Err(io::Error::other("it is too long")),
        _ => fs::read_to_string(path),
    };
    let read = text
        .map_err(|error| error.to_string())
        .and_then(|text| text.parse().map_err(|error: settings::BadSettings| error.to_string()));
    read.unwrap_or_else(|error| {
        log.say(format_args!("{path} cannot be used; the defaults are:"));
        error.lines().for_each(|line| log.say(line));
        Settings::default()
    })
}

/// Nothing can be run: the device starts anew after a while.
pub(crate) fn despair() -> ! {
    loop {
        thread::sleep(DESPAIR);
        Goal::Reboot.take();
    }
}
