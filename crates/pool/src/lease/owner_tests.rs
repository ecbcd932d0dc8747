use super::*;

const BOOT: BootId = BootId([1; 16]);
const A: DeviceId = DeviceId::from_bytes([0xA; 32]);
const B: DeviceId = DeviceId::from_bytes([0xB; 32]);
const C: DeviceId = DeviceId::from_bytes([0xC; 32]);

fn lamp() -> ResourceId {
    ResourceId { device: C, name: Name::new("lamp").unwrap() }
}

fn at(seconds: u64) -> BootTime {
    BootTime::from_nanos(seconds * 1_000_000_000)
}

fn claim(from: DeviceId, run: u64, count: u64) -> Claim {
    let duration = Duration::from_secs(10);
    Claim { from, resource: lamp(), mode: LeaseMode::Exclusive, duration, nonce: Nonce { run, count } }
}

fn shared(from: DeviceId, count: u64) -> Claim {
    Claim { mode: LeaseMode::Shared, ..claim(from, 1, count) }
}

/// A lease in force.
fn granted(leases: &mut OwnerLeases, now: BootTime, claim: Claim) -> Token {
    let Ok(Asked::Begun(token)) = leases.request(now, claim) else { panic!("not granted") };
    assert!(leases.commit(now, &(claim.resource, token)).is_some());
    token
}

fn hand_over(token: Token, from: DeviceId, to: DeviceId) -> HandOver {
    HandOver { lease: tutti_model::message::LeaseId { resource: lamp(), token }, from, to }
}

#[test]
fn one_holds_and_the_others_wait_with_growing_tokens() {
    let mut leases = OwnerLeases::default();
    let first = granted(&mut leases, at(0), claim(A, 1, 1));
    let refused = leases.request(at(1), claim(B, 1, 1)).unwrap_err();
    assert_eq!(refused, Refusal::HeldBy { holder: A, remaining: at(0).add_term(10).since(at(1)) });
    assert_eq!(leases.check(A, &(lamp(), first)), Ok(()));
    assert_eq!(leases.check(B, &(lamp(), first)), Err(Refusal::StaleToken), "another's token");
    assert!(!leases.expire(at(10)), "one per cent longer than was said");
    assert!(leases.expire(at(11)));
    let second = granted(&mut leases, at(11), claim(B, 1, 1));
    assert!(second > first);
    assert_eq!(leases.check(A, &(lamp(), first)), Err(Refusal::Superseded { by: second }));
}

trait Term {
    fn add_term(self, seconds: u64) -> BootTime;
}

impl Term for BootTime {
    fn add_term(self, seconds: u64) -> BootTime {
        self + owner_term(Duration::from_secs(seconds))
    }
}

#[test]
fn a_lease_that_is_not_durable_counts_for_nobody_and_keeps_others_out() {
    let mut leases = OwnerLeases::default();
    let Ok(Asked::Begun(token)) = leases.request(at(0), claim(A, 1, 1)) else { panic!() };
    let key = (lamp(), token);
    assert_eq!(leases.check(A, &key), Err(Refusal::StaleToken));
    assert!(matches!(leases.request(at(0), claim(B, 1, 1)), Err(Refusal::HeldBy { holder: A, .. })));
    leases.abort(&key);
    assert!(granted(&mut leases, at(0), claim(B, 1, 1)) > token, "its token is used up");
    assert_eq!(leases.commit(at(0), &key), None);
}

#[test]
fn a_grant_that_took_longer_than_the_lease_is_none() {
    let mut leases = OwnerLeases::default();
    let Ok(Asked::Begun(token)) = leases.request(at(0), claim(A, 1, 1)) else { panic!() };
    assert!(!leases.expire(at(20)));
    assert_eq!(leases.commit(at(20), &(lamp(), token)), None);
}

#[test]
fn the_same_request_gets_the_same_lease_and_counts_anew() {
    let mut leases = OwnerLeases::default();
    let Ok(Asked::Begun(token)) = leases.request(at(0), claim(A, 1, 1)) else { panic!() };
    assert_eq!(leases.request(at(1), claim(A, 1, 1)), Ok(Asked::Again(token)));
    leases.commit(at(1), &(lamp(), token));
    assert_eq!(leases.request(at(5), claim(A, 1, 1)), Ok(Asked::Extended(token)));
    assert!(!leases.expire(at(14)), "the holder counts from the repeat: so does its owner");
}

#[test]
fn a_device_replaces_its_own_lease_but_only_forward() {
    let mut leases = OwnerLeases::default();
    let first = granted(&mut leases, at(0), claim(A, 1, 5));
    assert_eq!(leases.request(at(1), claim(A, 1, 4)), Err(Refusal::StaleToken), "overtaken on the way");
    let second = granted(&mut leases, at(1), claim(A, 1, 6));
    let third = granted(&mut leases, at(1), claim(A, 2, 1));
    assert!(first < second && second < third, "and another run of the device begins anew");
    assert_eq!(leases.live().count(), 1);
}

#[test]
fn shared_leases_are_side_by_side_and_exclusive_ones_are_not() {
    let mut leases = OwnerLeases::default();
    let a = granted(&mut leases, at(0), shared(A, 1));
    let b = granted(&mut leases, at(0), shared(B, 1));
    assert!(leases.check(A, &(lamp(), a)).is_ok() && leases.check(B, &(lamp(), b)).is_ok());
    assert!(matches!(leases.request(at(0), claim(C, 1, 1)), Err(Refusal::HeldBy { .. })));
    assert_eq!(leases.release(A, lamp(), Nonce { run: 1, count: 1 }), Some((lamp(), a)));
    assert_eq!(leases.release(A, lamp(), Nonce { run: 1, count: 1 }), None);
    assert!(leases.check(B, &(lamp(), b)).is_ok());
}

#[test]
fn durations_have_bounds() {
    let mut leases = OwnerLeases::default();
    let endless = Claim { duration: Duration::MAX, ..claim(A, 1, 1) };
    granted(&mut leases, at(0), endless);
    assert!(leases.expire(at(0).add_term(MAX_LEASE.as_secs())));
    let Ok(Asked::Begun(token)) = leases.request(at(1000), Claim { duration: Duration::ZERO, ..claim(A, 1, 2) }) else {
        panic!()
    };
    assert!(leases.commit(at(1000), &(lamp(), token)).is_some(), "at least {MIN_LEASE:?}");
}

#[test]
fn one_device_cannot_have_all_leases() {
    let mut leases = OwnerLeases::default();
    for count in 0..MAX_LEASES_PER_HOLDER as u64 {
        granted(&mut leases, at(0), shared(A, count));
    }
    assert_eq!(leases.request(at(0), shared(A, 999)), Err(Refusal::Busy));
    granted(&mut leases, at(0), shared(B, 1));
}

#[test]
fn a_transfer_needs_a_reservation_and_the_holders_word() {
    let mut leases = OwnerLeases::default();
    let token = granted(&mut leases, at(0), claim(A, 1, 1));
    let key = (lamp(), token);
    let word = hand_over(token, A, B);
    assert_eq!(leases.take(at(1), claim(B, 1, 1), &word), Err(Refusal::NotReserved));
    assert_eq!(leases.reserve(B, &key, B), Err(Refusal::StaleToken), "only its holder reserves");
    assert_eq!(leases.reserve(A, &key, B), Ok(()));
    assert_eq!(leases.take(at(1), claim(C, 1, 1), &word), Err(Refusal::BadHandOver), "for another");
    assert_eq!(leases.take(at(1), claim(B, 1, 1), &hand_over(token, C, B)), Err(Refusal::BadHandOver));
    let Ok(Asked::Begun(new)) = leases.take(at(1), claim(B, 1, 1), &word) else { panic!() };
    assert!(leases.check(A, &key).is_err(), "the old one is void at once");
    assert_eq!(leases.commit(at(1), &(lamp(), new)), Some(LeaseMode::Exclusive));
    assert_eq!(leases.check(B, &(lamp(), new)), Ok(()));
    assert_eq!(leases.check(A, &key), Err(Refusal::Superseded { by: new }));
    assert_eq!(leases.take(at(1), claim(B, 1, 2), &word), Err(Refusal::Superseded { by: new }), "once only");
    assert_eq!(leases.take(at(1), claim(B, 1, 1), &word), Ok(Asked::Extended(new)), "a repeat of the same");
}

#[test]
fn a_reserved_lease_can_be_taken_after_its_end_unless_somebody_came_between() {
    for between in [false, true] {
        let mut leases = OwnerLeases::default();
        let token = granted(&mut leases, at(0), claim(A, 1, 1));
        leases.reserve(A, &(lamp(), token), B).unwrap();
        assert!(leases.expire(at(20)));
        assert_eq!(leases.live().count(), 0);
        if between {
            granted(&mut leases, at(21), claim(C, 1, 1));
            leases.release(C, lamp(), Nonce { run: 1, count: 1 });
        }
        let taken = leases.take(at(30), claim(B, 1, 1), &hand_over(token, A, B));
        assert_eq!(taken.is_ok(), !between);
    }
    let mut leases = OwnerLeases::default();
    let token = granted(&mut leases, at(0), claim(A, 1, 1));
    leases.reserve(A, &(lamp(), token), B).unwrap();
    leases.expire(at(20));
    leases.expire(at(20) + RESERVATION_KEPT);
    let late = leases.take(at(1000), claim(B, 1, 1), &hand_over(token, A, B));
    assert_eq!(late, Err(Refusal::NotReserved), "not for ever");
}

#[test]
fn an_unfinished_take_can_be_tried_again() {
    let mut leases = OwnerLeases::default();
    let token = granted(&mut leases, at(0), claim(A, 1, 1));
    leases.reserve(A, &(lamp(), token), B).unwrap();
    let word = hand_over(token, A, B);
    let Ok(Asked::Begun(failed)) = leases.take(at(1), claim(B, 1, 1), &word) else { panic!() };
    leases.abort(&(lamp(), failed));
    assert!(matches!(leases.take(at(2), claim(B, 1, 2), &word), Ok(Asked::Begun(_))));
}

#[test]
fn a_restart_honours_what_is_left_and_a_reboot_all_of_it() {
    let mut leases = OwnerLeases::default();
    let token = granted(&mut leases, at(100), claim(A, 1, 1));
    let saved = leases.save(C, BOOT).unwrap();

    let mut restarted = OwnerLeases::restore(&saved, C, BOOT, at(105)).unwrap();
    assert_eq!(restarted.check(A, &(lamp(), token)), Ok(()));
    assert!(!restarted.expire(at(110)));
    assert!(restarted.expire(at(111)));

    let other = BootId([2; 16]);
    let mut rebooted = OwnerLeases::restore(&saved, C, other, at(3)).unwrap();
    assert_eq!(rebooted.next_expiry(), Some(at(3).add_term(10)));
    assert!(matches!(rebooted.request(at(4), claim(B, 1, 1)), Err(Refusal::HeldBy { .. })));
    rebooted.expire(at(20));
    assert!(granted(&mut rebooted, at(20), claim(B, 1, 1)) > token);

    // A clock that went back within one boot does not make a lease endless.
    let back = OwnerLeases::restore(&saved, C, BOOT, at(1)).unwrap();
    assert_eq!(back.next_expiry(), Some(at(1).add_term(10)));
}

#[test]
fn what_was_being_granted_at_the_end_counts_after_a_restart() {
    let mut leases = OwnerLeases::default();
    let Ok(Asked::Begun(token)) = leases.request(at(0), claim(A, 1, 1)) else { panic!() };
    let restarted = OwnerLeases::restore(&leases.save(C, BOOT).unwrap(), C, BOOT, at(1)).unwrap();
    assert_eq!(restarted.check(A, &(lamp(), token)), Ok(()));
}

#[test]
fn tokens_of_forgotten_resources_do_not_come_again() {
    let mut leases = OwnerLeases::default();
    let mut of = |name: String, now| {
        let claim = Claim { resource: ResourceId { device: C, name: Name::new(&name).unwrap() }, ..claim(A, now, 1) };
        let token = granted(&mut leases, at(now), claim);
        leases.release(A, claim.resource, claim.nonce);
        (token, leases.tokens.len())
    };
    let (first, _) = of("first".into(), 0);
    for number in 0..MAX_TOKENS + 5 {
        let (_, remembered) = of(format!("r{number}"), 1);
        assert!(remembered <= MAX_TOKENS);
    }
    assert!(of("first".into(), 2).0 > first);
}

#[test]
fn unreadable_state_is_an_error() {
    assert!(OwnerLeases::restore(b"", C, BOOT, at(0)).is_err());
    assert!(OwnerLeases::restore(&[1, 0, 1, 0, 2, 0, 0, 0, 9, 9], C, BOOT, at(0)).is_err());
}
