use ed25519_dalek::SigningKey;
use tutti_model::{Name, ResourceDescription, ResourceKind, Role, Text, Unit, Value, signed::Context};

use super::*;
use crate::group::Member;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn id(number: u8) -> DeviceId {
    DeviceId::from_bytes(key(number).verifying_key().to_bytes())
}

fn record(device: DeviceId, via: Option<DeviceId>, seq: u64, called: &str) -> DeviceRecord {
    DeviceRecord {
        device,
        seq,
        name: name(called),
        kind: Text::EMPTY,
        architecture: Text::EMPTY,
        os: Text::EMPTY,
        profile: Text::EMPTY,
        software: Text::EMPTY,
        via,
        satellites: None,
        capacity: None,
        resources: vec![],
    }
}

fn own(number: u8, seq: u64, called: &str) -> Signed {
    SignedRecord::sign(record(id(number), None, seq, called), &key(number)).unwrap().signed().clone()
}

fn satellite(device: DeviceId, host: u8, seq: u64, called: &str) -> Signed {
    SignedRecord::sign(record(device, Some(id(host)), seq, called), &key(host)).unwrap().signed().clone()
}

fn group(numbers: &[u8]) -> Group {
    let member = |number: &u8| (id(*number), Member { role: Role::Member, name: name("newcomer") });
    Group { members: numbers.iter().map(member).collect() }
}

fn wall() -> WallTime {
    WallTime::from_unix_millis(7)
}

fn shown(records: &Records, group: &Group) -> Catalogue {
    Catalogue::new(id(1), group, records, |device| device == id(2))
}

#[test]
fn the_highest_number_wins_in_any_order() {
    let group = group(&[1, 2]);
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let mut records = Records::new(id(1));
        for seq in order {
            records.merge(&group, own(2, seq, &format!("n{seq}")), wall());
        }
        assert_eq!(shown(&records, &group).device(id(2)).unwrap().name, name("n3"));
    }
    let mut records = Records::new(id(1));
    let key = Key::own(id(2));
    assert_eq!(records.merge(&group, own(2, 2, "two"), wall()), Merged::New(key));
    assert_eq!(records.merge(&group, own(2, 2, "two"), wall()), Merged::Known(key));
    assert_eq!(records.merge(&group, own(2, 1, "one"), wall()), Merged::Old(key));
}

#[test]
fn two_records_of_one_number_end_the_same_everywhere() {
    let group = group(&[1, 2]);
    let (left, right) = (own(2, 5, "left"), own(2, 5, "right"));
    let after = |first: &Signed, second: &Signed| {
        let mut records = Records::new(id(1));
        records.merge(&group, first.clone(), wall());
        let merged = records.merge(&group, second.clone(), wall());
        assert!(matches!(merged, Merged::Equivocation { seq: 5, .. }), "{merged:?}");
        shown(&records, &group).device(id(2)).unwrap().name
    };
    assert_eq!(after(&left, &right), after(&right, &left));
}

#[test]
fn only_members_and_their_satellites_count() {
    let members = group(&[1, 2]);
    let mut records = Records::new(id(1));
    assert_eq!(records.merge(&members, own(3, 1, "stranger"), wall()), Merged::Early);
    let thing = DeviceId::from_bytes([77; 32]);
    assert_eq!(records.merge(&members, satellite(thing, 3, 1, "theirs"), wall()), Merged::Early);
    let about_member = records.merge(&members, satellite(id(1), 2, 9, "usurped"), wall());
    let refusal = RecordRefusal::SpeaksForMember { host: id(2), member: id(1) };
    assert_eq!(about_member, Merged::Refused(refusal));
    let forged = Signed::sign(Context::DEVICE_RECORD, own(2, 1, "x").unverified().to_vec(), &key(3));
    let merged = records.merge(&members, forged, wall());
    assert!(matches!(merged, Merged::Refused(RecordRefusal::Record(_))), "{merged:?}");
    assert_eq!(shown(&records, &members).devices.len(), 2, "members without records are listed, nobody else");

    // What came early counts once its device has joined.
    let (changed, news) = records.apply(&group(&[1, 2, 3]), wall());
    assert!(changed);
    assert_eq!(news.len(), 2);
    assert_eq!(shown(&records, &group(&[1, 2, 3])).devices.len(), 4);
}

#[test]
fn a_removed_member_takes_its_satellites_with_it() {
    let all = group(&[1, 2, 3]);
    let thing = DeviceId::from_bytes([77; 32]);
    let mut records = Records::new(id(1));
    records.merge(&all, own(2, 1, "two"), wall());
    records.merge(&all, satellite(thing, 2, 5, "by-two"), wall());
    records.merge(&all, satellite(thing, 3, 4, "by-three"), wall());
    let before = shown(&records, &all);
    let entry = before.device(thing).unwrap();
    assert_eq!((entry.name, entry.via, entry.presence), (name("by-two"), Some(id(2)), Presence::Online));
    let fewer = group(&[1, 3]);
    records.apply(&fewer, wall());
    let after = shown(&records, &fewer);
    assert!(after.device(id(2)).is_none());
    let entry = after.device(thing).unwrap();
    assert_eq!((entry.name, entry.via, entry.presence), (name("by-three"), Some(id(3)), Presence::Offline));
    // A satellite that becomes a member speaks for itself.
    let mut with_it = group(&[1, 3]);
    with_it.members.insert(thing, Member { role: Role::Member, name: name("thing") });
    records.apply(&with_it, wall());
    assert_eq!(shown(&records, &with_it).device(thing).unwrap().via, None);
}

#[test]
fn of_too_many_satellites_all_devices_keep_the_same() {
    let group = group(&[1, 2]);
    let things: Vec<DeviceId> =
        (0..MAX_SATELLITES_PER_HOST as u8 + 10).map(|i| DeviceId::from_bytes([i; 32])).collect();
    let keep = |order: &mut dyn Iterator<Item = &DeviceId>| {
        let mut records = Records::new(id(1));
        for thing in order {
            records.merge(&group, satellite(*thing, 2, 1, "thing"), wall());
        }
        let bytes: usize = records.iter().map(|(_, entry)| entry.len()).sum();
        assert_eq!(records.bytes, bytes, "the count of bytes is right");
        records.iter().map(|(key, _)| key.device).collect::<Vec<_>>()
    };
    let kept = keep(&mut things.iter());
    assert_eq!(kept.len(), MAX_SATELLITES_PER_HOST);
    assert_eq!(kept, keep(&mut things.iter().rev()));
}

#[test]
fn early_records_are_few() {
    let members = group(&[1]);
    let mut records = Records::new(id(1));
    for number in 10..60 {
        records.merge(&members, own(number, 1, "early"), wall());
        records.merge(&members, own(number, 2, "earlier"), wall());
    }
    assert_eq!(records.early.len(), MAX_EARLY_RECORDS);
}

fn house() -> Catalogue {
    let group = group(&[1, 2]);
    let mut records = Records::new(id(1));
    let mut described = record(id(2), None, 1, "kitchen");
    let mut warmth = ResourceDescription::sensor(name("warmth"), Unit::new("°C").unwrap());
    warmth.properties.insert(name("max"), Value::Float(105.0));
    warmth.properties.insert(name("model"), Value::Text("bme280".into()));
    warmth.properties.insert(name("inside"), Value::Bool(true));
    let mut lamp = ResourceDescription::actuator(name("lamp"), Unit::EMPTY);
    lamp.simulated = true;
    described.resources = vec![warmth, lamp];
    let signed = SignedRecord::sign(described, &key(2)).unwrap().signed().clone();
    records.merge(&group, signed, wall());
    shown(&records, &group)
}

#[test]
fn resources_are_found_by_what_they_are() {
    let catalogue = house();
    let found = |query: Query| -> Vec<String> {
        catalogue.query(&query).map(|entry| entry.resource.name.to_string()).collect()
    };
    assert_eq!(found(Query::default()), ["warmth", "lamp"]);
    assert_eq!(found(Query { kind: Some(ResourceKind::Actuator), ..Query::default() }), ["lamp"]);
    assert_eq!(found(Query { device: Some(id(1)), ..Query::default() }), [""; 0]);
    assert_eq!(found(Query { simulated: Some(false), ..Query::default() }), ["warmth"]);
    assert_eq!(found(Query { name: Some(name("lamp")), ..Query::default() }), ["lamp"]);
    let with = |filter: &str| found(Query { properties: vec![filter.parse().unwrap()], ..Query::default() });
    for yes in ["max", "max=105", "max>=100", "max<=105.0", "model=bme280", "unit=°C", "inside=true", "inside=1"] {
        assert_eq!(with(yes), ["warmth"], "{yes}");
    }
    for no in ["min", "max=104", "max>=106", "max<=1", "model=bme", "unit=K", "model>=1", "inside=false"] {
        assert_eq!(with(no), [""; 0], "{no}");
    }
    assert_eq!("max>=warm".parse::<PropertyFilter>(), Err(BadFilter::Number));
    assert!(matches!("a b=1".parse::<PropertyFilter>(), Err(BadFilter::Name(_))));
}

#[test]
fn devices_are_found_by_name_and_id() {
    let mut catalogue = house();
    let kitchen = id(2);
    assert_eq!(catalogue.find("kitchen").unwrap().device, kitchen);
    assert_eq!(catalogue.find(&kitchen.to_string()).unwrap().device, kitchen);
    assert_eq!(catalogue.find(&kitchen.to_string()[..6].to_uppercase()).unwrap().device, kitchen);
    assert_eq!(catalogue.find(&kitchen.to_string()[..5]), Err(Lookup::Unknown(kitchen.to_string()[..5].into())));
    catalogue.devices.get_mut(&id(1)).unwrap().name = name("kitchen");
    let several = catalogue.find("kitchen").unwrap_err().to_string();
    assert!(several.contains("could be") && several.contains(&kitchen.short().to_string()), "{several}");
    assert_eq!(catalogue.find("cellar").unwrap_err(), Lookup::Unknown("cellar".into()));
}
