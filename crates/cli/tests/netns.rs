//! Three hosts: network namespaces joined by a bridge, without a default route, with packets lost and links cut.
//!
//! Runs as root with `TUTTI_NETNS=1` (the layer `netns` of `cargo xtask test`); needs iproute2 and nftables.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test measured is for whoever runs it")]

mod support;

use std::time::{Duration, Instant};

use support::{
    device::{Device, eventually},
    hosts::Lan,
};

const S: fn(u64) -> Duration = Duration::from_secs;

fn enabled() -> bool {
    let wanted = std::env::var_os("TUTTI_NETNS").is_some();
    if !wanted {
        eprintln!("left out: run `cargo xtask test netns`, or set TUTTI_NETNS=1 as root");
    }
    wanted
}

fn sees_nearby(host: &Device, other: &str) -> bool {
    host.json(&["nearby"]).as_array().is_some_and(|list| list.iter().any(|device| device["name"] == other))
}

fn reading(host: &Device, other: &str) -> Result<f64, String> {
    host.reading(&format!("{other}/memory-available"))
}

/// Discovery, pairing and readings among three hosts.
fn three_hosts_become_one_pool(lan: &Lan) -> Vec<Device> {
    let hosts: Vec<Device> = ["anna", "bert", "cleo"].iter().enumerate().map(|(at, name)| lan.host(at, name)).collect();
    for host in &hosts {
        for other in hosts.iter().filter(|other| other.name != host.name) {
            // Multicast is not repeated when it is lost: the next question comes after 1, 2, 4, 8 s.
            eventually(S(30), &format!("{} discovers {}", host.name, other.name), || sees_nearby(host, &other.name));
        }
    }
    hosts[1].join(&hosts[0]);
    hosts[2].join(&hosts[0]);
    eventually(S(10), "everybody is online everywhere", || {
        hosts[0].sees(&["bert", "cleo"]) && hosts[1].sees(&["anna", "cleo"]) && hosts[2].sees(&["anna", "bert"])
    });
    for host in &hosts {
        for other in hosts.iter().filter(|other| other.name != host.name) {
            eventually(S(10), &format!("{} reads {}", host.name, other.name), || {
                reading(host, &other.name).is_ok_and(|bytes| bytes > 0.0)
            });
        }
    }
    hosts
}

#[test]
fn without_a_default_route() {
    if !enabled() {
        return;
    }
    let lan = Lan::new(3);
    assert_eq!(lan.routes(0).lines().filter(|line| line.starts_with("default")).count(), 0);
    let hosts = three_hosts_become_one_pool(&lan);

    // One host is cut off for 30 seconds; meanwhile another one is forgotten.
    let [anna, bert, cleo] = &hosts[..] else { panic!("three hosts") };
    lan.cut(2);
    eventually(S(4), "the cut is noticed", || !anna.sees(&["cleo"]) && !bert.sees(&["cleo"]));
    let cut = Instant::now();
    let forgotten = anna.run(&["forget", "bert", "--yes"]);
    assert!(forgotten.ok, "{}", forgotten.err);
    std::thread::sleep(S(30).saturating_sub(cut.elapsed()));
    lan.mend(2);
    let took = eventually(S(3), "the views converge after the cut", || {
        let lists_bert = |host: &Device| {
            host.json(&["devices"]).as_array().is_some_and(|list| list.iter().any(|device| device["name"] == "bert"))
        };
        cleo.sees(&["anna"]) && anna.sees(&["cleo"]) && !lists_bert(cleo) && !lists_bert(anna)
    });
    println!("views converged {} ms after the cut", took.as_millis());
    eventually(S(1), "the returned host refuses the forgotten one", || reading(bert, "cleo").is_err());
    assert!(reading(cleo, "bert").is_err(), "a forgotten device was read");
    assert!(reading(cleo, "anna").is_ok());
    assert!(bert.json(&["devices"]).as_array().is_some_and(|list| list.len() == 1), "bert is alone and knows it");
}

#[test]
fn with_one_packet_in_ten_lost() {
    if !enabled() {
        return;
    }
    let lan = Lan::new(3);
    lan.lose(10);
    let hosts = three_hosts_become_one_pool(&lan);
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(reading(&hosts[1], "cleo").is_err());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(failed, 0, "readings failed at 10 % loss");
}
