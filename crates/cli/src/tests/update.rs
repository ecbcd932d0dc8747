//! `tutti update` against a device that is away at times.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, MutexGuard},
};

use tutti_control::{
    Controlled, ErrorCode, Reading, StorageEntry, StorageList, Stored, Value,
    fake::{Answer, Asked},
};

use super::{Host, sample};

const OLD: &str = "gateway 0.1.0 runs, built in";
const BUSY: &str = "installing: 40 %";
const INSTALLED: &str = "restarting: 0.2.0 is installed";

/// What the device says in turn; the last one from then on. `Err` is what this machine's device says instead of it.
type Says = Vec<Result<&'static str, ErrorCode>>;

/// A device with a new system on its way to it.
#[derive(Default)]
struct Gateway {
    parts: BTreeMap<String, u64>,
    /// How often each was stored.
    stored: BTreeMap<String, usize>,
    orders: usize,
    /// What becomes of what is asked of it, in turn; from then on all goes well.
    lists: Vec<ErrorCode>,
    stores: Vec<Option<ErrorCode>>,
    /// Whether the order is taken, and what is answered to it.
    takes: Vec<(bool, Option<ErrorCode>)>,
    says: Says,
    /// What it says once it has taken an order.
    says_then: Says,
}

fn turn<T>(list: &mut Vec<T>) -> Option<T> {
    (!list.is_empty()).then(|| list.remove(0))
}

impl Gateway {
    fn answer(&mut self, asked: &Asked) -> Answer {
        let refused = |code| Answer::refused(code, "this is why", "");
        let path = asked.target.split('?').next().unwrap_or_default();
        match (asked.method.as_str(), path) {
            ("GET", "/v1/resources/gateway/system") => {
                let said = if self.says.len() > 1 { self.says.remove(0) } else { self.says[0] };
                match said {
                    Ok(said) => Answer::json(&Reading { value: Value::Text(said.into()), ..sample::reading(0.0) }),
                    Err(code) => refused(code),
                }
            }
            ("GET", "/v1/storage/gateway/system-parts") => match turn(&mut self.lists) {
                Some(code) => refused(code),
                None => {
                    let entry =
                        |(path, size): (&String, &u64)| StorageEntry { path: path.clone(), size: *size, modified: 0 };
                    Answer::json(&StorageList {
                        entries: self.parts.iter().map(entry).collect(),
                        used: 0,
                        quota: 1 << 30,
                    })
                }
            },
            ("PUT", "/v1/resources/gateway/system") => {
                self.orders += 1;
                let (taken, answer) = turn(&mut self.takes).unwrap_or((true, None));
                if taken {
                    self.says = std::mem::take(&mut self.says_then);
                }
                answer.map_or_else(|| Answer::json(&controlled()), refused)
            }
            ("PUT", _) => match turn(&mut self.stores).flatten() {
                Some(code) => refused(code),
                None => {
                    let path = path.trim_start_matches("/v1/storage/gateway/system-parts/").to_owned();
                    *self.stored.entry(path.clone()).or_default() += 1;
                    self.parts.insert(path.clone(), asked.body.len() as u64);
                    Answer::json(&Stored { path, size: asked.body.len() as u64 })
                }
            },
            _ => refused(ErrorCode::NoSuchRoute),
        }
    }
}

fn controlled() -> Controlled {
    Controlled {
        device: sample::id('b'),
        device_name: "gateway".into(),
        name: "system".into(),
        value: Value::Text("install".into()),
        token: None,
    }
}

/// Gives it an image of three parts; what was printed, and what has become of it.
async fn updated(gateway: Gateway, options: &str) -> (String, Arc<Mutex<Gateway>>) {
    let gateway = Arc::new(Mutex::new(gateway));
    let device = gateway.clone();
    let host = Host::with(move |asked| lock(&device).answer(asked));
    let image = host.folder.path().join("image");
    fs::write(&image, vec![b'x'; (5 << 20) / 2]).unwrap();
    let said = host.tutti(&format!("update gateway {} {options}", image.display())).await;
    (said, gateway)
}

fn lock(gateway: &Mutex<Gateway>) -> MutexGuard<'_, Gateway> {
    gateway.lock().unwrap()
}

#[tokio::test]
async fn it_goes_on_when_the_device_is_back() {
    let gateway = Gateway {
        says: vec![Err(ErrorCode::Offline), Ok(OLD)],
        lists: vec![ErrorCode::TimedOut],
        stores: vec![None, Some(ErrorCode::Unreachable)],
        says_then: vec![
            Ok(BUSY),
            Err(ErrorCode::Offline),
            Ok("installing: 60 %"),
            Err(ErrorCode::TooMany),
            Ok(INSTALLED),
        ],
        ..Gateway::default()
    };
    let (said, gateway) = updated(gateway, "--wait 0").await;
    assert!(said.contains("gateway: 0.2.0 is installed, and it starts anew") && said.contains("[exit 0]"), "{said}");
    assert!(said.contains("2> gateway is away; goes on when it is back, for up to 120 s"), "{said}");
    assert!(said.contains("2> gateway is busy; goes on when it is free, for up to 120 s"), "{said}");
    let gateway = lock(&gateway);
    assert_eq!((gateway.orders, gateway.stored.len()), (1, 3));
    assert!(gateway.stored.values().all(|times| *times == 1), "{:?}", gateway.stored);
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_given_again_only_if_it_was_not_taken() {
    let lost = Some(ErrorCode::TimedOut);
    for (takes, orders) in [
        (vec![(true, lost)], 1),
        (vec![(false, lost)], 2),
        (vec![(false, Some(ErrorCode::Held))], 2),
        (vec![(true, Some(ErrorCode::TooMany))], 1),
    ] {
        let says_then = vec![Ok(BUSY), Ok(INSTALLED)];
        let gateway = Gateway { says: vec![Ok(OLD)], takes, says_then, ..Gateway::default() };
        let (said, gateway) = updated(gateway, "--wait 0").await;
        assert!(said.contains("0.2.0 is installed") && said.contains("[exit 0]"), "{said}");
        assert_eq!(lock(&gateway).orders, orders);
    }
    // It ends each time.
    let gateway = Gateway { says: vec![Ok(OLD)], says_then: vec![Ok(OLD)], ..Gateway::default() };
    let gateway = Gateway { takes: vec![(false, lost); 9], ..gateway };
    let (said, gateway) = updated(gateway, "--wait 0").await;
    assert!(said.contains("told to install it 3 times, and has not") && said.contains("[exit 1]"), "{said}");
    assert_eq!(lock(&gateway).orders, 3);
}

#[tokio::test]
async fn what_is_refused_ends_it_at_once() {
    for code in [ErrorCode::NotAllowed, ErrorCode::NoSuchDevice, ErrorCode::NoSuchResource] {
        let gateway = Gateway { says: vec![Err(code)], ..Gateway::default() };
        let (said, gateway) = updated(gateway, "").await;
        assert!(said.contains("cannot update gateway") && said.contains("[exit 1]"), "{said}");
        assert!(lock(&gateway).stored.is_empty());
    }
    let gateway = Gateway { says: vec![Ok(OLD)], lists: vec![ErrorCode::NotAllowed], ..Gateway::default() };
    let (said, gateway) = updated(gateway, "").await;
    assert!(said.contains("this is why") && !said.contains("away"), "{said}");
    assert!(lock(&gateway).stored.is_empty());
    let stores = vec![None, Some(ErrorCode::QuotaExceeded)];
    let (said, gateway) = updated(Gateway { says: vec![Ok(OLD)], stores, ..Gateway::default() }, "").await;
    assert!(said.contains("this is why") && !said.contains("away"), "{said}");
    let gateway = lock(&gateway);
    assert_eq!((gateway.stored.len(), gateway.orders), (1, 0));
}

#[tokio::test]
async fn patience_ends_and_what_is_there_is_told() {
    let stores = [vec![None], vec![Some(ErrorCode::Offline); 99]].concat();
    let (said, gateway) = updated(Gateway { says: vec![Ok(OLD)], stores, ..Gateway::default() }, "--patience 1").await;
    assert!(said.contains("cannot update gateway") && said.contains("[exit 1]"), "{said}");
    assert!(
        said.contains("1 of 3 parts are there, and the same command goes on: tutti update gateway RUN/image"),
        "{said}"
    );
    assert_eq!(lock(&gateway).orders, 0);
}
