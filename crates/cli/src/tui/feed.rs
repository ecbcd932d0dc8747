//! Keeps a live view up to date: follows a device's events, and reads what gives readings.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tutti_control::{Client, Event, Reading};

use super::model::Pool;

/// How often everything is read.
const ROUND: Duration = Duration::from_secs(1);

/// How long a reading may take before the next round does without it.
const READING: Duration = Duration::from_secs(3);

/// The most resources that are read, and how many at a time: a device takes a bounded number of connections.
const MOST: usize = 96;
const AT_A_TIME: usize = 6;

/// How long to wait before the device is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What there is to know.
#[derive(Debug)]
pub(crate) enum News {
    /// A change.
    Event(Event),
    /// A reading.
    Reading(Reading),
    /// The device does not answer; why.
    Trouble(String),
}

impl Pool {
    /// Takes the news.
    pub(crate) fn take(&mut self, news: News) {
        match news {
            News::Event(event) => self.apply(event),
            News::Reading(reading) => self.reading(reading),
            News::Trouble(trouble) => self.trouble = Some(trouble),
        }
    }
}

/// News of the pool, until the receiver is dropped. A device that goes away and comes back is followed again.
pub(crate) fn follow(client: Client) -> mpsc::Receiver<News> {
    let (news, receiver) = mpsc::channel(64);
    tokio::spawn({
        let (client, news) = (client.clone(), news.clone());
        async move {
            while let Err(Some(trouble)) = events(&client, &news).await {
                if news.send(News::Trouble(trouble)).await.is_err() {
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    });
    tokio::spawn(async move { while readings(&client, &news).await.is_ok() {} });
    receiver
}

/// Until the device stops answering (then why), or nobody listens any more.
async fn events(client: &Client, news: &mpsc::Sender<News>) -> Result<(), Option<String>> {
    let mut changes = client.changes().await.map_err(|error| Some(error.to_string()))?;
    loop {
        let change = tokio::select! {
            change = changes.next() => change.map_err(|error| Some(error.to_string()))?,
            () = news.closed() => return Err(None),
        };
        let Some(event) = change else { return Err(Some("the device has stopped".into())) };
        news.send(News::Event(event)).await.map_err(|_| None)?;
    }
}

/// One round of readings. An error when nobody listens any more.
async fn readings(client: &Client, news: &mpsc::Sender<News>) -> Result<(), ()> {
    let next = tokio::time::Instant::now() + ROUND;
    // What is there may have changed since the last round; asking costs little on one machine.
    let mut pool = Pool::default();
    if let Ok(resources) = client.resources(&Default::default()).await {
        pool.apply(Event::Resources(resources));
    }
    let client = client.clone().timeout(READING);
    let client = &client;
    let read = |(device, name): (String, String)| async move { client.read(&device, &name).await };
    let mut taken = stream::iter(pool.to_read(MOST)).map(read).buffer_unordered(AT_A_TIME);
    while let Some(reading) = taken.next().await {
        // What cannot be read now is shown as it was; why, `tutti read` tells.
        if let Ok(reading) = reading {
            news.send(News::Reading(reading)).await.map_err(|_| ())?;
        }
    }
    tokio::select! {
        () = tokio::time::sleep_until(next) => Ok(()),
        () = news.closed() => Err(()),
    }
}
