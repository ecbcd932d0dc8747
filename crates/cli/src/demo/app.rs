//! The demo's app: the example `counter`, which counts what it is told and has no line of code for being moved.

use std::io::Cursor;

use ed25519_dalek::SigningKey;
use tutti_app::package::Package;
use tutti_control::{AppInstance, Client, ClientError, ErrorCode, InstanceState, RunRequest};

use super::{report::until, scenario::text};

const COMPONENT: &[u8] = include_bytes!("../../../../apps/built/counter.wasm");
const MANIFEST: &str = "name = \"counter\"\nversion = \"0.1.0\"\nabout = \"Counts what it is told\"\n\
    [limits]\nmemory-kib = 1024\ncpu = 200\n";

/// How often it is told to count before it moves, and after.
const EACH: u32 = 10;

/// The instance, and how far it has been told to count.
pub(super) struct Counter {
    id: String,
    told: u32,
}

/// Installs it, signed by an author of this demo, and runs it.
pub(super) async fn install(owner: &Client, home: &str) -> Result<(Counter, String), String> {
    let package = Package::make(MANIFEST, COMPONENT, None, &SigningKey::generate(&mut rand::rng()));
    let package = package.map_err(|error| error.to_string())?;
    let size = package.len() / 1024;
    let app = owner.install_app(Cursor::new(package)).await.map_err(text)?;
    let instance =
        owner.run_app(&app.name, &RunRequest { on: Some(home.into()), ..RunRequest::default() }).await.map_err(text)?;
    let counter = Counter { id: instance.id, told: 0 };
    runs(owner, &counter, home).await?;
    Ok((counter, format!("{} {}, {size} KiB, signed", app.name, app.floor)))
}

/// Moves it while another device goes on telling it to count; that it has missed nothing is seen afterwards.
pub(super) async fn moved(by: &Client, teller: &Client, counter: &mut Counter, to: &str) -> Result<String, String> {
    let mut told = counter.told;
    let going = async {
        by.move_instance(&counter.id, to).await.map_err(text)?;
        runs(by, counter, to).await
    };
    let telling = async {
        for _ in 0..EACH {
            tell(teller, counter, "add 1").await?;
            told += 1;
        }
        Ok(())
    };
    let (instance, ()) = tokio::try_join!(going, telling)?;
    counter.told = told;
    check(by, counter).await?;
    Ok(format!("{told} of {told} counted, move {}", instance.epoch.saturating_sub(1)))
}

/// It counts as it is told.
pub(super) async fn count(teller: &Client, counter: &mut Counter) -> Result<String, String> {
    for _ in 0..EACH {
        tell(teller, counter, "add 1").await?;
        counter.told += 1;
    }
    check(teller, counter).await?;
    Ok(format!("count {}", counter.told))
}

/// It is at home there again, and knows what it was told before.
pub(super) async fn again(at: &Client, counter: &Counter, home: &str) -> Result<String, String> {
    runs(at, counter, home).await?;
    check(at, counter).await?;
    Ok(format!("count {}, from before the kill", counter.told))
}

/// Waits until it runs there.
async fn runs(at: &Client, counter: &Counter, home: &str) -> Result<AppInstance, String> {
    until(|| async {
        let Some(instance) = unless_early(at.instance(&counter.id).await)? else { return Ok(None) };
        if let Some(reason) = instance.reason.filter(|_| instance.state == InstanceState::Failed) {
            return Err(reason);
        }
        let there = instance.state == InstanceState::Running && instance.device_name == home;
        Ok(there.then_some(AppInstance { reason: None, ..instance }))
    })
    .await
}

/// Tells it something.
async fn tell(by: &Client, counter: &Counter, what: &str) -> Result<(), String> {
    until(|| async { unless_early(by.tell_instance(&counter.id, what).await) }).await
}

/// Between two homes nobody takes what an instance is told, and not all devices hear of one at once: then it is asked again.
fn unless_early<T>(answer: Result<T, ClientError>) -> Result<Option<T>, String> {
    match answer {
        Ok(it) => Ok(Some(it)),
        Err(error) if matches!(error.code(), Some(ErrorCode::WrongState | ErrorCode::NoSuchInstance)) => Ok(None),
        Err(error) => Err(text(error)),
    }
}

/// It has counted all that it was told: it answers to its log.
async fn check(at: &Client, counter: &Counter) -> Result<(), String> {
    let before = at.instance_log(&counter.id, 0).await.map_err(text)?.last().map_or(0, |line| line.number);
    tell(at, counter, "show").await?;
    let answer = until(|| async {
        let lines = at.instance_log(&counter.id, before).await.map_err(text)?;
        Ok(lines.into_iter().map(|line| line.text).find(|text| text.contains('(')))
    })
    .await?;
    let count = answer.split(' ').next().and_then(|word| word.parse::<u32>().ok());
    if count == Some(counter.told) { Ok(()) } else { Err(format!("it was told {} and says {answer:?}", counter.told)) }
}
