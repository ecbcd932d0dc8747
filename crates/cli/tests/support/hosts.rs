//! Hosts in network namespaces.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use super::device::{Device, Plan};

fn sh(command: &str) -> Output {
    let out = Command::new("sh").arg("-c").arg(command).output().expect("there is a shell");
    assert!(out.status.success(), "`{command}` failed: {}", String::from_utf8_lossy(&out.stderr));
    out
}

/// A network of its own: a bridge in one namespace, and a namespace for each host. Gone when dropped.
pub(crate) struct Lan {
    prefix: String,
    hosts: usize,
    folder: tempfile::TempDir,
}

impl Lan {
    pub(crate) fn new(hosts: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("tt{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lan = Self { prefix, hosts, folder: tempfile::tempdir().expect("a temporary folder") };
        let bridge = lan.bridge();
        sh(&format!(
            "ip netns add {bridge} && ip -n {bridge} link add br0 type bridge mcast_snooping 0 && ip -n {bridge} link set br0 up"
        ));
        for at in 0..hosts {
            let space = lan.space(at);
            sh(&format!(
                "ip netns add {space} && ip -n {space} link set lo up && \
                 ip -n {space} link add eth0 type veth peer name veth{at} netns {bridge} && \
                 ip -n {bridge} link set veth{at} master br0 up && \
                 ip -n {space} addr add 10.77.0.{}/24 dev eth0 && ip -n {space} link set eth0 up && \
                 ip -n {space} route add 224.0.0.0/4 dev eth0",
                at + 1
            ));
        }
        lan
    }

    fn bridge(&self) -> String {
        format!("{}br", self.prefix)
    }

    fn space(&self, at: usize) -> String {
        format!("{}h{at}", self.prefix)
    }

    pub(crate) fn routes(&self, at: usize) -> String {
        let out = sh(&format!("ip -n {} route", self.space(at)));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Drops so many of a hundred packets that come in at each host.
    pub(crate) fn lose(&self, percent: u32) {
        for at in 0..self.hosts {
            let space = self.space(at);
            sh(&format!(
                "ip netns exec {space} nft 'add table netdev loss; \
                 add chain netdev loss in {{ type filter hook ingress device eth0 priority 0; }}; \
                 add rule netdev loss in numgen random mod 100 < {percent} drop'"
            ));
        }
    }

    /// Pulls a host's cable, and puts it back.
    pub(crate) fn cut(&self, at: usize) {
        sh(&format!("ip -n {} link set veth{at} nomaster", self.bridge()));
    }

    pub(crate) fn mend(&self, at: usize) {
        sh(&format!("ip -n {} link set veth{at} master br0", self.bridge()));
    }

    /// A host with a device that is up.
    pub(crate) fn host(&self, at: usize, name: &str) -> Device {
        let space = self.space(at);
        Plan::new(self.folder.path(), name).alone_on_its_host().wrapped(["ip", "netns", "exec", &space]).start()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for space in (0..self.hosts).map(|at| self.space(at)).chain([self.bridge()]) {
            let _ = Command::new("ip").args(["netns", "del", &space]).status();
        }
    }
}
