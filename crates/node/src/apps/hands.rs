//! What a person does at a display that an app has: the pointers and keyboards that belong to it.
//!
//! They are input resources of the display's device whose property `display` names it ([`OF_DISPLAY`]), as the console's page offers
//! them beside itself. An app wants the display and gets them with it, wherever it runs; what they tell is read by [`Hand`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tutti_app::{
    home::Incoming,
    runtime::{
        host::Event,
        input::{Hand, OF_DISPLAY},
    },
};
use tutti_model::{ResourceId, ResourceKind, Value};
use tutti_pool::{Catalogue, Presence};

use super::{
    Shared,
    actor::{Ask, Handle},
};

/// The least time between two values of one input: as quick as a page tells them.
const EVERY: Duration = Duration::from_millis(20);

/// The most inputs of one display.
const MOST: usize = 8;

/// The inputs that are followed, each for the app's word for its display.
#[derive(Default)]
pub(super) struct Hands(BTreeMap<(String, ResourceId), JoinHandle<()>>);

impl Hands {
    /// Follows what belongs to these displays now, each under the app's word for it, and nothing else.
    pub(super) fn follow(&mut self, shared: &Arc<Shared>, handle: &Handle, displays: &[(String, ResourceId)]) {
        let catalogue = shared.pool.catalogue();
        let of = |(word, display): &(String, ResourceId)| {
            let word = word.clone();
            belonging(&catalogue, *display).into_iter().map(move |input| (word.clone(), input)).collect::<Vec<_>>()
        };
        let wanted: Vec<_> = displays.iter().flat_map(of).collect();
        self.0.retain(|key, task| {
            let stays = wanted.contains(key) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for (word, input) in wanted {
            let begin = || tokio::spawn(watch(shared.clone(), handle.clone(), word.clone(), input));
            self.0.entry((word.clone(), input)).or_insert_with(begin);
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

async fn watch(shared: Arc<Shared>, handle: Handle, word: String, input: ResourceId) {
    let Ok(mut readings) = shared.pool.follow(input, EVERY).await else { return };
    let mut hand = Hand::default();
    let mut first = true;
    while let Some(Ok(reading)) = readings.next().await {
        let event = hand.event(&word, &reading.value);
        // A key that was pressed before somebody listened was not meant for the app.
        let stale = std::mem::take(&mut first) && matches!(event, Some(Event::Key(..)));
        if let Some(event) = event.filter(|_| !stale) {
            handle.tell(Ask::Event(Incoming { origin: None, event }));
        }
    }
}

/// The inputs that belong to a display, and can be read.
fn belonging(catalogue: &Catalogue, display: ResourceId) -> Vec<ResourceId> {
    let of = |properties: &BTreeMap<tutti_model::Name, Value>| {
        properties.iter().any(|(name, value)| {
            name.as_str() == OF_DISPLAY && matches!(value, Value::Text(of) if of == display.name.as_str())
        })
    };
    let all = catalogue.resources().filter(|entry| {
        let it = entry.resource;
        entry.id().device == display.device
            && entry.device.presence != Presence::Offline
            && it.kind == ResourceKind::Input
            && it.readable
            && of(&it.properties)
    });
    all.map(|entry| entry.id()).take(MOST).collect()
}
