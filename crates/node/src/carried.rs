//! What the image of this device carries: read at the start, taken up by the rooms that it is for.
//!
//! | what | by whom |
//! |---|---|
//! | apps | `apps::carried`: offered to the group, run where an owner allows it |
//! | the firmware of other cores | `cores::carried`: started at each start of the device |
//!
//! What cannot be taken up costs nothing else: it is on the [`Board`], which `tutti doctor` reads, and is tried again, ever more rarely.

use std::{collections::BTreeMap, path::Path, sync::Mutex, time::Duration};

use futures_util::future::join_all;
use tutti_update::{Carried, carried::Core};

use crate::{lock::lock, node::Node};

/// The pauses before something is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is carried and not taken up yet, with the reasons.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// How many things are carried.
    count: usize,
    waiting: Mutex<BTreeMap<String, String>>,
}

impl Board {
    /// For a list; what is wrong with it is on the board from the start.
    pub(crate) fn new(list: &Carried) -> Self {
        Self { count: list.apps.len() + list.cores.len(), waiting: Mutex::default() }
    }

    /// Something waits, for this reason.
    pub(crate) fn waits(&self, what: &str, why: String) {
        let mut waiting = lock(&self.waiting);
        if waiting.get(what) != Some(&why) {
            tracing::info!("{what}, which the image carries, waits: {why}");
            waiting.insert(what.to_owned(), why);
        }
    }

    /// Something waits no longer.
    pub(crate) fn done(&self, what: &str) {
        if lock(&self.waiting).remove(what).is_some() {
            tracing::info!("{what}, which the image carries, waits no longer");
        }
    }

    /// How many things are carried, and what waits for what.
    pub(crate) fn read(&self) -> (usize, Vec<(String, String)>) {
        let waiting = lock(&self.waiting).iter().map(|(what, why)| (what.clone(), why.clone())).collect();
        (self.count, waiting)
    }
}

/// Reads the list. A device whose list is bad is worth more than none: it is empty then, and the board says so.
pub(crate) fn read(path: Option<&Path>) -> (Carried, Board) {
    match path.map(Carried::read) {
        None => (Carried::default(), Board::default()),
        Some(Ok(list)) => {
            let board = Board::new(&list);
            (list, board)
        }
        Some(Err(error)) => {
            tracing::error!(%error, "what the image carries is not known");
            let board = Board { count: 1, ..Board::default() };
            board.waits("the list of what is carried", error.to_string());
            (Carried::default(), board)
        }
    }
}

/// Takes up what is carried, until the device stops.
pub(crate) async fn take_up(list: Carried, node: &Node) {
    let cores = join_all(list.cores.iter().map(|core| start(core, node)));
    #[cfg(feature = "apps")]
    {
        node.apps.carry(list.apps, &node.carried).await;
        let apps = node.apps.clone().take_up_carried(node.state.clone(), &node.carried);
        tokio::join!(cores, apps);
    }
    #[cfg(not(feature = "apps"))]
    {
        for app in &list.apps {
            node.carried.waits(&app.file.display().to_string(), "this device was built without apps".into());
        }
        cores.await;
    }
}

/// Starts a core; once it has started, its life is led by what leads all cores'.
async fn start(core: &Core, node: &Node) {
    let what = format!("the core {}", core.name);
    let mut pause = PAUSES.0;
    loop {
        match node.cores.take_up(core).await {
            Ok(()) => return node.carried.done(&what),
            Err(error) => node.carried.waits(&what, error.to_string()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_says_what_waits_and_no_longer() {
        let board = Board::default();
        board.waits("the core m4", "no processor".into());
        board.waits("the core m4", "it does not start".into());
        assert_eq!(board.read().1, [("the core m4".to_owned(), "it does not start".to_owned())]);
        board.done("the core m4");
        assert_eq!(board.read(), (0, Vec::new()));
    }

    #[test]
    fn a_bad_list_is_said_and_costs_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("carried.json");
        std::fs::write(&path, "nonsense").unwrap();
        let (list, board) = read(Some(&path));
        assert!(list.is_empty() && board.read().1[0].1.contains("cannot be read"), "{board:?}");
        assert_eq!(read(None).1.read(), (0, Vec::new()));
    }
}
