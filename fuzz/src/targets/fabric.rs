//! What is private to the fabric: sessions, and what devices say of themselves where they are looked for. And the
//! address book and the recovery words, which are not.

use std::cell::LazyCell;

use ed25519_dalek::SigningKey;
use tokio::runtime::{Builder, Runtime};
use tutti_fabric::{
    addresses::{AddressBook, MAX_DEVICES, MAX_DIALLED},
    fuzzing,
    recovery::{RecoveryWords, WORDS},
};
use tutti_model::{
    BootTime, DeviceId,
    signed::{Context, Signed},
};

pub(crate) use fuzzing::{control, registration, registration_seeds, stream_seeds, txt, txt_seeds};

thread_local! {
    // Time stands still, so that no wait of a stream takes any.
    static RUNTIME: LazyCell<Runtime> = const {
        LazyCell::new(|| {
            let mut builder = Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().expect("a runtime of one thread")
        })
    };
}

pub(crate) fn stream(bytes: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(fuzzing::stream(bytes)));
}

pub(crate) fn control_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = SigningKey::from_bytes(&[7; 32]);
    fuzzing::control_seeds(vec![Signed::sign(Context::GROUP_ENTRY, b"any bytes".to_vec(), &key)])
}

/// The saved address book: what is accepted is bounded, and kept as the same.
pub(crate) fn address_book(bytes: &[u8]) {
    let now = BootTime::from_nanos(5_000_000_000);
    let Ok(book) = AddressBook::decode(bytes, now) else { return };
    let devices: Vec<DeviceId> = book.devices().collect();
    assert!(devices.len() <= MAX_DEVICES);
    assert!(devices.iter().all(|device| book.dial(*device, now).len() <= MAX_DIALLED));
    let again = AddressBook::decode(&book.encode(), now).expect("a book that was read can be written");
    for device in devices {
        assert_eq!(again.dial(device, now), book.dial(device, now));
    }
}

pub(crate) fn address_book_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let now = BootTime::from_nanos(1);
    let mut book = AddressBook::new();
    for (byte, addrs) in [(1, &["192.168.1.20:4001", "[2001:db8::1]:4001"][..]), (2, &["10.0.0.1:1"])] {
        let device = DeviceId::from_bytes([byte; 32]);
        book.pin(device, true, now);
        addrs.iter().for_each(|addr| book.proved(device, addr.parse().expect("an address"), now));
    }
    vec![("two", book.encode()), ("empty", AddressBook::new().encode())]
}

/// Recovery words as somebody types them: what is accepted is printed as words that stand for the same key.
pub(crate) fn recovery_words(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(words) = RecoveryWords::parse(text) else { return };
    assert_eq!(words.words().split(' ').count(), WORDS);
    let again = RecoveryWords::parse(&words.words()).expect("what is printed can be read");
    assert_eq!(again.signing_key(), words.signing_key());
}

pub(crate) fn recovery_words_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let words = RecoveryWords::from_entropy([0x7f; 32]).words();
    let list: String = words.split(' ').enumerate().map(|(at, word)| format!("{}. {word}\r\n", at + 1)).collect();
    vec![
        ("words", words.as_bytes().to_vec()),
        ("list", list.to_uppercase().into_bytes()),
        ("wrong_word", words.replacen("legal", "legall", 1).into_bytes()),
        ("wrong_order", words.split(' ').rev().collect::<Vec<_>>().join(",").into_bytes()),
    ]
}
