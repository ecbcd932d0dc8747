use std::sync::{
    Condvar,
    atomic::{AtomicU64, AtomicUsize},
};

use tutti_fabric::clock::MachineClock;
use tutti_model::{Unit, Value};

use super::*;

/// A driver that counts how often it is read, and blocks while it is told to.
#[derive(Default)]
struct Fake {
    name: &'static str,
    reads: AtomicU64,
    inside: AtomicUsize,
    most_inside: AtomicUsize,
    stuck: Mutex<bool>,
    freed: Condvar,
    signal: tutti_resources::Signal,
    every: Option<Duration>,
}

impl Fake {
    fn new(name: &'static str, every: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { name, every, ..Self::default() })
    }
    fn stick(&self, stuck: bool) {
        *self.stuck.lock().unwrap() = stuck;
        self.freed.notify_all();
    }
}

impl Driver for Fake {
    fn description(&self) -> ResourceDescription {
        ResourceDescription::sensor(name(self.name), Unit::EMPTY)
    }
    fn read(&self) -> Result<Value, DriverError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_inside.fetch_max(inside, Ordering::SeqCst);
        let stuck = self.stuck.lock().unwrap();
        drop(self.freed.wait_while(stuck, |stuck| *stuck).unwrap());
        self.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(Value::Int(self.reads.fetch_add(1, Ordering::SeqCst) as i64))
    }
    fn refresh_every(&self) -> Option<Duration> {
        self.every
    }
    fn changes(&self) -> Option<&tutti_resources::Signal> {
        Some(&self.signal)
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[tokio::test]
async fn a_stuck_driver_holds_up_nobody_else() {
    let (stuck, fine) = (Fake::new("stuck", None), Fake::new("fine", None));
    let locals = Locals::with_patience(Arc::new(MachineClock), Duration::from_millis(150));
    locals.replace([stuck.clone() as Arc<dyn Driver>, fine.clone()]);
    stuck.stick(true);
    let name_of_stuck = name("stuck");
    let (first, second) = tokio::join!(locals.read(&name_of_stuck), locals.read(&name_of_stuck));
    assert_eq!((first, second), (Err(Refusal::TimedOut), Err(Refusal::TimedOut)));
    assert!(locals.read(&name("fine")).await.is_ok());
    assert_eq!(stuck.most_inside.load(Ordering::SeqCst), 1, "it is not called again before it came back");
    stuck.stick(false);
    assert!(locals.read(&name_of_stuck).await.is_ok());
    assert_eq!(locals.read(&name("none")).await, Err(Refusal::NoSuchResource));
}

#[tokio::test]
async fn values_are_fresh_while_somebody_looks_and_cost_little_otherwise() {
    let sensor = Fake::new("sensor", Some(Duration::from_millis(200)));
    let locals = Locals::new(Arc::new(MachineClock));
    locals.replace([sensor.clone() as Arc<dyn Driver>]);
    let polling = tokio::spawn(locals.clone().poll());
    tokio::time::sleep(Duration::from_millis(700)).await;
    let idle = sensor.reads.load(Ordering::SeqCst);
    assert_eq!(idle, 1, "one value to show, and no more");
    assert_eq!(locals.latest(&name("sensor")).unwrap().value, Value::Int(0));
    locals.look(Duration::from_secs(60));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let busy = sensor.reads.load(Ordering::SeqCst) - idle;
    assert!((3..=6).contains(&busy), "{busy} readings in 1.1 s at one each 0.2 s");
    polling.abort();
}

#[tokio::test]
async fn what_changes_by_itself_is_taken_when_it_says_so() {
    let sensor = Fake::new("sensor", None);
    let locals = Locals::new(Arc::new(MachineClock));
    locals.replace([sensor.clone() as Arc<dyn Driver>]);
    let polling = tokio::spawn(locals.clone().poll());
    let mut latest = locals.follow(&name("sensor")).unwrap();
    let limit = Duration::from_secs(5);
    tokio::time::timeout(limit, latest.changed()).await.unwrap().unwrap();
    latest.mark_unchanged();
    sensor.signal.raise();
    tokio::time::timeout(limit, latest.changed()).await.unwrap().unwrap();
    assert_eq!(latest.borrow().as_ref().unwrap().value, Value::Int(1));
    polling.abort();
}

#[tokio::test]
async fn hardware_comes_and_goes() {
    let (a, b) = (Fake::new("a", None), Fake::new("b", None));
    let locals = Locals::new(Arc::new(MachineClock));
    let mut descriptions = locals.descriptions();
    locals.replace([a.clone() as Arc<dyn Driver>]);
    assert!(descriptions.has_changed().unwrap());
    descriptions.mark_unchanged();
    locals.read(&name("a")).await.unwrap();
    locals.replace([a.clone() as Arc<dyn Driver>]);
    assert!(!descriptions.has_changed().unwrap(), "nothing changed, so nothing is published");
    locals.replace([a.clone() as Arc<dyn Driver>, b, Fake::new("a", None)]);
    assert_eq!(descriptions.borrow_and_update().len(), 2, "of two with one name the first counts");
    assert_eq!(locals.latest(&name("a")).unwrap().value, Value::Int(0), "what stayed keeps its value");
    locals.replace([]);
    assert!(descriptions.borrow().is_empty());
    assert_eq!(locals.latest(&name("a")), None);
}
