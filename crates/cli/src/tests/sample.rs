//! A kitchen, a studio and a garden, for the tests.

use std::collections::BTreeMap;

use tutti_control::{
    Access, ApiAddresses, Audience, Device, DeviceInfo, GroupInfo, Lease, LeaseHolder, LeaseMode, NearbyDevice,
    Presence, Reading, Resource, Role, Sharing, Source, Value,
};

pub(crate) fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

pub(crate) fn group() -> GroupInfo {
    GroupInfo { id: id('9'), role: Role::Owner, members: 3, alone: false }
}

pub(crate) fn info() -> DeviceInfo {
    DeviceInfo {
        id: id('a'),
        name: "kitchen".into(),
        version: "0.1.0".into(),
        pid: 4242,
        state_dir: "/var/lib/tutti".into(),
        group: group(),
        uptime_ms: 7_300_000,
        addresses: vec!["192.0.2.7:4000".into(), "[2001:db8::7]:4000".into()],
        api: ApiAddresses { socket: "/run/tutti/aaaaaaaaaa.sock".into(), tcp: Some("127.0.0.1:8080".into()) },
    }
}

pub(crate) fn devices() -> Vec<Device> {
    let device = |digit, name: &str, presence| Device {
        id: id(digit),
        name: name.into(),
        kind: "board".into(),
        architecture: "aarch64".into(),
        os: "Debian 13".into(),
        profile: "standard".into(),
        software: "0.1.0".into(),
        role: Some(Role::Member),
        presence,
        rtt_ms: None,
        traffic: None,
        last_seen_ms_ago: None,
        address: None,
        via: None,
        resources: 2,
        room: None,
        last_error: None,
    };
    vec![
        Device { role: Some(Role::Owner), ..device('a', "kitchen", Presence::Myself) },
        Device { rtt_ms: Some(0.42), ..device('b', "工作室", Presence::Online) },
        Device {
            last_seen_ms_ago: Some(190_000),
            last_error: Some("no route\x1b[2J to host".into()),
            ..device('c', "garden", Presence::Offline)
        },
        Device { role: None, via: Some(id('b')), os: String::new(), ..device('d', "m33-core", Presence::Online) },
    ]
}

pub(crate) fn nearby() -> Vec<NearbyDevice> {
    vec![NearbyDevice {
        id: id('e'),
        name: "cellar".into(),
        addresses: vec!["192.0.2.9:4000".into()],
        source: Source::Mdns,
        pairing_open: true,
    }]
}

pub(crate) fn resources() -> Vec<Resource> {
    let resource = |digit, device: &str, name: &str, kind: &str, unit: &str, value: Option<Value>| Resource {
        id: format!("{device}/{name}"),
        device: id(digit),
        device_name: device.into(),
        name: name.into(),
        kind: kind.into(),
        unit: unit.into(),
        properties: BTreeMap::new(),
        access: Access { read: Audience::Guests, control: Audience::Members },
        readable: true,
        writable: false,
        sharing: Sharing::Shared,
        simulated: false,
        online: true,
        at: value.is_some().then_some(1),
        value,
        lease: None,
    };
    let holder = LeaseHolder { holder: id('a'), holder_name: "kitchen".into(), token: 7, expires_in_ms: 4_000 };
    vec![
        Resource {
            properties: [("min".to_owned(), Value::Int(-40)), ("model".to_owned(), Value::Text("BME280".into()))]
                .into(),
            ..resource('a', "kitchen", "temperature", "sensor", "°C", Some(Value::Float(21.5)))
        },
        resource('a', "kitchen", "memory-free", "sensor", "B", Some(Value::Int(3 << 30))),
        Resource {
            writable: true,
            sharing: Sharing::Exclusive,
            simulated: true,
            lease: Some(holder),
            ..resource('b', "工作室", "lamp", "actuator", "", Some(Value::Bool(true)))
        },
        Resource { online: false, ..resource('c', "garden", "rain", "sensor", "mm/h", None) },
    ]
}

pub(crate) fn reading(value: f64) -> Reading {
    Reading {
        device: id('a'),
        device_name: "kitchen".into(),
        name: "temperature".into(),
        value: Value::Float(value),
        unit: "°C".into(),
        at: 1_767_225_600_000,
        simulated: true,
    }
}

pub(crate) fn lease() -> Lease {
    Lease {
        id: "l1".into(),
        resource: "studio/lamp".into(),
        token: 7,
        mode: LeaseMode::Exclusive,
        expires_in_ms: 30_000,
    }
}
