//! Two hosts: network namespaces joined by a cable (veth), without a default route. Needs root and iproute2, so it runs
//! only when `TUTTI_NETNS=1` says that both are there.
#![expect(clippy::print_stdout, reason = "what was measured is the result")]

use std::{
    process::{Child, Command, Stdio},
    sync::mpsc::channel as std_channel,
};

use ed25519_dalek::SigningKey;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};
use tutti_model::Name;

use super::*;
use crate::{
    discovery,
    identity::device_id,
    transport::{
        CloseCode, Connection, Protocol, Transport,
        iroh::{IrohConfig, IrohTransport},
    },
};

fn sh(command: &str) {
    let done = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Two namespaces, removed at the end.
struct Hosts {
    a: String,
    b: String,
}

impl Hosts {
    fn new(tag: &str) -> Self {
        let name = |side: &str| format!("tutti-{tag}{side}-{}", std::process::id());
        let hosts = Self { a: name("a"), b: name("b") };
        let (a, b) = (&hosts.a, &hosts.b);
        sh(&format!(
            "ip netns add {a}; ip netns add {b}; ip -n {a} link add eth0 type veth peer name eth0 netns {b}
             ip -n {a} addr add 10.77.0.1/24 dev eth0; ip -n {b} addr add 10.77.0.2/24 dev eth0
             ip -n {a} link set lo up; ip -n {b} link set lo up; ip -n {a} link set eth0 up"
        ));
        hosts
    }

    fn plug_in(&self) {
        sh(&format!("ip -n {} link set eth0 up; test -z \"$(ip -n {} route show default)\"", self.b, self.a));
    }

    fn lose_packets(&self, percent: u32) {
        for host in [&self.a, &self.b] {
            sh(&format!(
                "ip netns exec {host} nft 'add table inet t; add chain inet t in {{ type filter hook input priority 0; }}; \
                 add rule inet t in iifname eth0 numgen random mod 100 < {percent} drop'"
            ));
        }
    }
}

impl Hosts {
    /// Whether the hosts hear multicast DNS over IPv4; over IPv6 they always do.
    fn hear_over_ipv4(&self, hear: bool) {
        for host in [&self.a, &self.b] {
            sh(&if hear {
                format!("ip netns exec {host} nft delete table ip deaf")
            } else {
                format!(
                    "ip netns exec {host} nft 'add table ip deaf; \
                     add chain ip deaf in {{ type filter hook input priority 0; }}; add rule ip deaf in udp dport 5353 drop'"
                )
            });
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in [&self.a, &self.b] {
            let _ = Command::new("ip").args(["netns", "del", host]).status();
        }
    }
}

/// A device in a namespace: finds the other, dials it if told to, and says when.
struct Device {
    child: Child,
    said: std::sync::mpsc::Receiver<String>,
}

impl Device {
    fn start(host: &str, seed: u8, other: u8, dials: bool) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", host])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "discovery::mdns::netns_tests::child_that_is_a_device", "--nocapture"])
            .env("TUTTI_TEST_DEVICE", format!("{seed} {other} {dials}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = std_channel();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, said }
    }

    /// Waits for a line that begins with this word.
    fn wait(&self, word: &str, seconds: u64) -> String {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let line = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("it did not say {word:?} within {seconds} s"));
            if !line.is_empty() && !line.starts_with("running") {
                println!("   {line}");
            }
            if line.starts_with(word) {
                return line;
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn child_that_is_a_device() {
    let Ok(seeds) = std::env::var("TUTTI_TEST_DEVICE") else { return };
    let [seed, other, dials] = seeds.split(' ').collect::<Vec<_>>()[..] else { panic!("{seeds}") };
    let dials: bool = dials.parse().unwrap();
    let key = SigningKey::from_bytes(&[seed.parse().unwrap(); 32]);
    let me = device_id(&key);
    let other = device_id(&SigningKey::from_bytes(&[other.parse().unwrap(); 32]));
    let transport = IrohTransport::bind(IrohConfig { key, port: 0 }).await.unwrap();
    let (sender, mut events) = discovery::channel();
    let name = Name::new(&format!("host-{seed}")).unwrap();
    let announcement = Announcement { device: me, name, port: transport.port(), pairing_open: false };
    let mdns = Mdns::start(MdnsConfig::default(), announcement, sender).unwrap();
    mdns.seek(true);
    println!("\nstarted at {:?}", transport.local_addrs());
    let started = Instant::now();
    let accepting = async {
        while let Some(connection) = transport.accept().await {
            tokio::spawn(async move {
                while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                    let mut text = Vec::new();
                    let _ = recv.read_to_end(&mut text).await;
                    let _ = send.write_all(&text).await;
                    let _ = send.shutdown().await;
                }
            });
        }
    };
    let known = watch::Sender::new(Vec::new());
    let finding = async {
        while let Some(event) = events.recv().await {
            let DiscoveryEvent::Found(nearby) = event else {
                println!("lost after {:?}", started.elapsed());
                continue;
            };
            println!("found {} at {:?} after {:?}", nearby.name, nearby.addrs, started.elapsed());
            if nearby.device == other {
                known.send_replace(nearby.addrs);
            }
        }
    };
    // As the fabric does: dial until it answers, at the newest addresses, and again when it has gone silent.
    let dialling = async {
        let mut known = known.subscribe();
        let _ = known.wait_for(|addrs| dials && !addrs.is_empty()).await;
        for word in ["connected", "reconnected"] {
            let connection = dial_until_answered(&transport, other, &known, word).await;
            stay(&*connection).await;
            println!("silent");
            connection.close(CloseCode::SILENT, "");
        }
    };
    tokio::join!(accepting, finding, dialling);
}

async fn dial_until_answered(
    transport: &IrohTransport,
    to: DeviceId,
    known: &watch::Receiver<Vec<SocketAddr>>,
    word: &str,
) -> Arc<dyn Connection> {
    loop {
        let dialled = Instant::now();
        let addrs = known.borrow().clone();
        match transport.connect(to, addrs, Protocol::Pool, Duration::from_secs(2)).await {
            Ok(connection) => {
                let connected = dialled.elapsed();
                assert!(echo(&*connection).await);
                println!("{word} in {connected:?}, answered in {:?}", dialled.elapsed());
                return connection;
            }
            Err(error) => println!("failed after {:?}: {error}", dialled.elapsed()),
        }
        // What fails at once is not tried all the time.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn echo(connection: &dyn Connection) -> bool {
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await.ok()?;
        send.write_all(b"hello").await.ok()?;
        send.shutdown().await.ok()?;
        let mut text = Vec::new();
        recv.read_to_end(&mut text).await.ok()?;
        Some(text == b"hello")
    };
    tokio::time::timeout(Duration::from_secs(2), exchange).await.ok().flatten() == Some(true)
}

/// Ends when the other side has gone silent.
async fn stay(connection: &dyn Connection) {
    while echo(connection).await {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn asked_for() -> bool {
    let asked = std::env::var("TUTTI_NETNS").is_ok_and(|value| value == "1");
    if !asked {
        println!("skipped: set TUTTI_NETNS=1 (as root, with iproute2 and nftables)");
    }
    asked
}

/// Both see each other, and the first dials the second.
fn meet(a: &Device, b: &Device, seconds: u64) {
    b.wait("found", seconds);
    a.wait("connected", seconds);
}

#[test]
fn two_hosts_without_a_default_route_meet() {
    if !asked_for() {
        return;
    }
    let hosts = Hosts::new("m");
    hosts.plug_in();
    // The kernel takes up to a second until it says that the cable is in.
    thread::sleep(Duration::from_secs(2));
    let (a, b) = (Device::start(&hosts.a, 1, 2, true), Device::start(&hosts.b, 2, 1, false));
    meet(&a, &b, 10);
}

#[test]
fn a_host_that_is_plugged_in_later_is_found() {
    if !asked_for() {
        return;
    }
    let hosts = Hosts::new("l");
    let (a, b) = (Device::start(&hosts.a, 1, 2, true), Device::start(&hosts.b, 2, 1, false));
    a.wait("started", 10);
    b.wait("started", 10);
    thread::sleep(Duration::from_secs(2));
    hosts.plug_in();
    let started = Instant::now();
    meet(&a, &b, 20);
    println!("met within {:?} of being plugged in", started.elapsed());
}

#[test]
fn two_hosts_meet_though_a_tenth_of_the_packets_is_lost() {
    if !asked_for() {
        return;
    }
    let hosts = Hosts::new("p");
    hosts.plug_in();
    hosts.lose_packets(10);
    let (a, b) = (Device::start(&hosts.a, 1, 2, true), Device::start(&hosts.b, 2, 1, false));
    meet(&a, &b, 20);
}

/// What is announced over IPv6 names only addresses of the link, which cannot be dialled.
#[test]
fn a_host_whose_announcement_over_ipv4_was_lost_is_found() {
    if !asked_for() {
        return;
    }
    let hosts = Hosts::new("v");
    hosts.plug_in();
    hosts.hear_over_ipv4(false);
    thread::sleep(Duration::from_secs(2));
    let (a, b) = (Device::start(&hosts.a, 1, 2, true), Device::start(&hosts.b, 2, 1, false));
    a.wait("started", 10);
    b.wait("started", 10);
    thread::sleep(Duration::from_secs(4));
    hosts.hear_over_ipv4(true);
    meet(&a, &b, 20);
}

#[test]
fn a_host_that_was_killed_comes_back() {
    if !asked_for() {
        return;
    }
    let hosts = Hosts::new("k");
    hosts.plug_in();
    let a = Device::start(&hosts.a, 1, 2, true);
    let b = Device::start(&hosts.b, 2, 1, false);
    meet(&a, &b, 10);
    drop(b);
    a.wait("silent", 10);
    let _b = Device::start(&hosts.b, 2, 1, false);
    let started = Instant::now();
    // At another port, so it has to be announced anew.
    a.wait("reconnected", 10);
    println!("reconnected within {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_cable_that_is_pulled_out_and_put_in() {
    if !asked_for() {
        return;
    }
    let hosts = Hosts::new("c");
    hosts.plug_in();
    let (a, b) = (Device::start(&hosts.a, 1, 2, true), Device::start(&hosts.b, 2, 1, false));
    meet(&a, &b, 10);
    sh(&format!("ip -n {} link set eth0 down", hosts.b));
    a.wait("silent", 10);
    thread::sleep(Duration::from_secs(8));
    hosts.plug_in();
    let started = Instant::now();
    a.wait("reconnected", 10);
    println!("reconnected within {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(3));
}
