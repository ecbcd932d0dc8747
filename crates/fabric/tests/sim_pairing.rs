//! Pairing through the fabric, on a simulated network.
#![cfg(feature = "sim")]

use std::time::Duration;

use tutti_fabric::{
    JoinError, JoinTarget, OfferError,
    pairing::{self, Outcome},
    testing::{SimDevice, all_see_each_other, seeds},
    transport::sim::{Conditions, SimNet},
};
use tutti_model::Role;

const S: fn(u64) -> Duration = Duration::from_secs;

/// Devices that are on, alone, and know each other's addresses.
async fn strangers(net: &SimNet, count: u8) -> Vec<SimDevice> {
    let mut devices: Vec<SimDevice> = (1..=count).map(|number| SimDevice::new(net, number)).collect();
    tutti_fabric::testing::start_all(&mut devices).await;
    devices
}

fn by_code(host: &SimDevice, code: &str) -> JoinTarget {
    JoinTarget::Code { device: host.id, code: code.parse().unwrap() }
}

fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

#[tokio::test(start_paused = true)]
async fn by_code_and_by_ticket_devices_become_a_group() {
    for seed in seeds(5) {
        let net = SimNet::new(seed);
        net.set_default(Conditions::wireless().with_loss(0.1));
        let devices = strangers(&net, 3).await;
        let host = devices[0].fabric();
        let offer = host.offer_pairing(Role::Member).await.unwrap();
        let joined = devices[1].fabric().join(by_code(&devices[0], &offer.code)).await.unwrap();
        assert_eq!((joined.host, joined.role), (devices[0].id, Role::Member));
        devices[0]
            .wait_for(S(5), "the outcome", |view| {
                let outcome = view.offer.as_ref().and_then(|offer| offer.outcome.clone());
                matches!(outcome, Some(Outcome::Paired(device, _)) if device == devices[1].id)
            })
            .await;
        let offer = host.offer_pairing(Role::Owner).await.unwrap();
        let ticket = offer.ticket.parse().unwrap();
        let joined = devices[2].fabric().join(JoinTarget::Ticket(ticket)).await.unwrap();
        assert_eq!(joined.role, Role::Owner);
        // The second and the third have never heard of each other: the first tells neither of them an address
        // here, discovery does.
        devices[2].meet(&devices);
        all_see_each_other(&devices, S(5)).await;
        for device in &devices {
            assert_eq!(device.view().group.members.len(), 3, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn three_wrong_codes_kill_the_code_and_a_ticket_still_works() {
    let net = SimNet::new(1);
    let devices = strangers(&net, 6).await;
    let offer = devices[0].fabric().offer_pairing(Role::Member).await.unwrap();
    for (device, left) in devices[1..4].iter().zip([2, 1, 0]) {
        let refused = device.fabric().join(by_code(&devices[0], &wrong(&offer.code))).await.unwrap_err();
        assert_eq!(refused, JoinError::Pairing(pairing::JoinError::WrongCode { tries_left: Some(left) }));
    }
    let dead = devices[4].fabric().join(by_code(&devices[0], &offer.code)).await.unwrap_err();
    assert_eq!(dead, JoinError::Pairing(pairing::JoinError::CodeDead));
    let ticket = offer.ticket.parse().unwrap();
    devices[5].fabric().join(JoinTarget::Ticket(ticket)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_guesses_in_parallel_gets_three_and_the_ticket_holder_is_not_kept_out() {
    let net = SimNet::new(1);
    let devices = strangers(&net, 30).await;
    let offer = devices[0].fabric().offer_pairing(Role::Member).await.unwrap();
    let mut guesses = tokio::task::JoinSet::new();
    for (at, device) in devices[2..].iter().enumerate() {
        let fabric = device.fabric().clone();
        let host = devices[0].id;
        let guess = format!("{:06}", (offer.code.parse::<usize>().unwrap() + 1 + at) % 1_000_000);
        guesses.spawn(async move {
            let mut wrong = 0;
            for _ in 0..10 {
                let target = JoinTarget::Code { device: host, code: guess.parse().unwrap() };
                match fabric.join(target).await {
                    Err(JoinError::Pairing(pairing::JoinError::WrongCode { .. })) => wrong += 1,
                    Err(JoinError::Pairing(pairing::JoinError::Busy)) => tokio::time::sleep(S(1)).await,
                    Err(_) => {}
                    Ok(_) => panic!("a guess got in"),
                }
            }
            wrong
        });
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let ticket = offer.ticket.parse().unwrap();
    devices[1].fabric().join(JoinTarget::Ticket(ticket)).await.unwrap();
    let mut wrong = 0;
    while let Some(guesses) = guesses.join_next().await {
        wrong += guesses.unwrap();
    }
    assert!(wrong <= 3, "{wrong} guesses were answered");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_work_says_why() {
    let net = SimNet::new(1);
    let mut devices = strangers(&net, 4).await;
    let no_offer = devices[1].fabric().join(by_code(&devices[0], "123456")).await.unwrap_err();
    assert_eq!(no_offer, JoinError::Pairing(pairing::JoinError::NoOffer));

    let offer = devices[0].fabric().offer_pairing(Role::Guest).await.unwrap();
    tokio::time::sleep(pairing::OFFER_LIFE + S(1)).await;
    let expired = devices[1].fabric().join(by_code(&devices[0], &offer.code)).await.unwrap_err();
    assert_eq!(expired, JoinError::Pairing(pairing::JoinError::Expired));

    let offer = devices[0].fabric().offer_pairing(Role::Guest).await.unwrap();
    devices[0].fabric().cancel_pairing().await;
    let cancelled = devices[1].fabric().join(by_code(&devices[0], &offer.code)).await.unwrap_err();
    assert_eq!(cancelled, JoinError::Pairing(pairing::JoinError::NoOffer));

    let offer = devices[0].fabric().offer_pairing(Role::Guest).await.unwrap();
    devices[1].fabric().join(by_code(&devices[0], &offer.code)).await.unwrap();
    let again = devices[1].fabric().join(by_code(&devices[2], "123456")).await.unwrap_err();
    assert_eq!(again, JoinError::NotAlone { members: 2 });
    let guest = devices[1].fabric().offer_pairing(Role::Member).await.unwrap_err();
    assert_eq!(guest, OfferError::NotAnOwner(Role::Guest));

    devices[0].crash().await;
    let unreachable = devices[2].fabric().join(by_code(&devices[0], "123456")).await.unwrap_err();
    assert!(matches!(unreachable, JoinError::Unreachable(_)), "{unreachable:?}");
}

#[tokio::test(start_paused = true)]
async fn an_offer_survives_a_crash_with_the_tries_it_had_left() {
    let net = SimNet::new(1);
    let mut devices = strangers(&net, 4).await;
    let offer = devices[0].fabric().offer_pairing(Role::Member).await.unwrap();
    for device in &devices[1..3] {
        device.fabric().join(by_code(&devices[0], &wrong(&offer.code))).await.unwrap_err();
    }
    devices[0].crash().await;
    devices[0].start().await;
    let refused = devices[3].fabric().join(by_code(&devices[0], &wrong(&offer.code))).await.unwrap_err();
    assert_eq!(refused, JoinError::Pairing(pairing::JoinError::WrongCode { tries_left: Some(0) }));
    let dead = devices[1].fabric().join(by_code(&devices[0], &offer.code)).await.unwrap_err();
    assert_eq!(dead, JoinError::Pairing(pairing::JoinError::CodeDead));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_alone_and_can_join_again() {
    let net = SimNet::new(1);
    let devices = strangers(&net, 2).await;
    for _ in 0..3 {
        let offer = devices[0].fabric().offer_pairing(Role::Member).await.unwrap();
        devices[1].fabric().join(by_code(&devices[0], &offer.code)).await.unwrap();
        all_see_each_other(&devices, S(3)).await;
        devices[1].fabric().leave().await.unwrap();
        assert!(devices[1].view().group.is_alone());
        assert_eq!(devices[1].view().removed, None);
        devices[0].wait_for(S(2), "that it left", |view| view.group.is_alone()).await;
    }
}

/// More than there is room for at once, without a pause: each is helped while those before it still take their leave.
#[tokio::test(start_paused = true)]
async fn as_many_as_want_are_let_in_one_after_the_other() {
    let net = SimNet::new(1);
    let mut devices = strangers(&net, 70).await;
    let (host, guests) = devices.split_first_mut().unwrap();
    for guest in guests {
        let offer = host.fabric().offer_pairing(Role::Member).await.unwrap();
        let joined = guest.fabric().join(JoinTarget::Ticket(offer.ticket.parse().unwrap())).await;
        joined.unwrap_or_else(|error| panic!("{:?}: {error}", guest.id));
        guest.stop().await;
    }
    assert_eq!(host.view().group.members.len(), 70);
}

/// Nothing but what is on their disks is left to both, two seconds after the one has joined the other.
#[tokio::test(start_paused = true)]
async fn who_has_just_joined_finds_its_host_after_a_power_cut() {
    let net = SimNet::new(1);
    let mut devices = strangers(&net, 2).await;
    let offer = devices[0].fabric().offer_pairing(Role::Member).await.unwrap();
    devices[1].fabric().join(JoinTarget::Ticket(offer.ticket.parse().unwrap())).await.unwrap();
    all_see_each_other(&devices, S(5)).await;
    tokio::time::sleep(S(2)).await;
    for device in &mut devices {
        device.crash().await;
    }
    for device in &mut devices {
        device.start().await;
    }
    all_see_each_other(&devices, S(5)).await;
}
