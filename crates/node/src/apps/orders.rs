//! What people want of instances, here or at another device: begun, moved, stopped, told.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use tutti_app::{ids::InstanceId, standby::Settings};
use tutti_control::{AppInstance, AppLine, AuditLine, ErrorCode, ErrorDetail, InstanceState, PlaceWhy};
use tutti_model::DeviceId;

use crate::lock::lock;

use super::{
    Apps, MAX_ACTORS,
    actor::{self, Ask, Begin, Want},
    internal, misbehaved, not_saved,
    packages::Facts,
    unknown,
    wire::{self, Answer, Order},
};

/// How long an instance may take to begin before whoever asked for it is answered all the same.
const BEGIN: Duration = Duration::from_secs(30);
/// How long an instance may take to do what a person wants.
const OBEY: Duration = Duration::from_secs(20);
/// How long it may take until it has a standby, which has to get the app first.
const GUARD: Duration = Duration::from_secs(55);

impl Apps {
    /// Begins an instance: there, or where it fits best.
    pub(crate) async fn run(
        &self,
        name: &str,
        on: Option<DeviceId>,
        standby: Option<(DeviceId, Settings)>,
    ) -> Result<AppInstance, ErrorDetail> {
        let facts = self.facts(name).await?;
        let on = match on {
            Some(on) => on,
            None => self.best_place(&facts)?,
        };
        if let Some((standby, _)) = standby {
            if standby == on {
                return Err(self.0.runs_there(on));
            }
            self.check_standby(standby, &facts).await?;
        }
        let begun = self.run_on(name, on, &facts).await?;
        let Some((standby, settings)) = standby else { return Ok(begun) };
        match self.act(&begun, Want::Guard(standby, settings)).await {
            Ok(shown) => Ok(shown),
            Err(error) => {
                // It was asked for with a standby or not at all.
                let _ = self.act(&begun, Want::End).await;
                Err(error)
            }
        }
    }

    /// Whether an app could go on at that device, which gets its package.
    async fn check_standby(&self, standby: DeviceId, facts: &Facts) -> Result<(), ErrorDetail> {
        let (name, digest) = (self.0.name_of(standby), facts.digest);
        let checked = if let Some(obstacle) = &facts.obstacle {
            Err(obstacle.clone())
        } else if standby == self.0.me {
            let shared = self.0.clone();
            let checked = tokio::task::spawn_blocking(move || shared.fit(&digest).map(|_| ()));
            checked.await.map_err(|_| internal())?.map_err(|(_, why)| why)
        } else {
            self.0.offer_to_guard(standby, None, digest).await
        };
        checked.map_err(|why| {
            let what = format!("{name} cannot be its standby: {why}");
            ErrorDetail::new(ErrorCode::DoesNotFit, what, "name another device, or run it without a standby")
        })
    }

    async fn run_on(&self, name: &str, on: DeviceId, facts: &Facts) -> Result<AppInstance, ErrorDetail> {
        if on == self.0.me {
            return self.run_here(facts.digest, None).await;
        }
        let there = self.0.name_of(on);
        let brought = self.0.bring_package(on, facts.digest, |_| {}).await;
        brought.map_err(|why| {
            ErrorDetail::new(ErrorCode::Unreachable, format!("{name} on {there}: {why}"), "try again")
        })?;
        let begun = self.order(on, Order::Run(facts.digest)).await?;
        // Whoever asked may go on with it at once, before that device has told everybody.
        if begun.device == on.to_string() {
            self.0.heard_of(on, begun.clone());
        }
        Ok(begun)
    }

    /// Begins an instance on this device. It has the package.
    pub(super) async fn run_here(&self, digest: [u8; 32], by: Option<DeviceId>) -> Result<AppInstance, ErrorDetail> {
        let shared = self.0.clone();
        let checking = shared.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let refuse = |code, why: String| ErrorDetail::new(code, why, "`tutti app ls` lists what is installed");
            let package = checking.packages.load(&digest);
            let package = package.map_err(|error| refuse(ErrorCode::NoSuchApp, error.to_string()))?;
            checking.granted(&package).map_err(|why| refuse(ErrorCode::NotGranted, why))?;
            if let Some(want) = checking.missing(package.manifest()) {
                let what = format!("nothing in the pool is what it requires as {want}");
                return Err(ErrorDetail::new(ErrorCode::DoesNotFit, what, "`tutti resources` lists what there is"));
            }
            if let Err(why) = checking.room_for(package.manifest()) {
                let (app, device) = (package.manifest().name, checking.name_of(checking.me));
                let what = format!("{app} does not fit on {device}: {why}");
                let hint = "end another instance there, or run it elsewhere: `tutti place why` shows where it fits";
                return Err(ErrorDetail::new(ErrorCode::DoesNotFit, what, hint));
            }
            checking.packages.find(&digest).ok_or_else(internal)
        });
        let facts = checked.await.unwrap_or_else(|_| Err(internal()))?;
        let id = InstanceId::from_bytes(rand::random());
        let handle = {
            let mut actors = lock(&shared.actors);
            if actors.len() >= MAX_ACTORS {
                let what = format!("this device has {MAX_ACTORS} instances");
                return Err(ErrorDetail::new(ErrorCode::TooMany, what, "end one, or run it elsewhere"));
            }
            let handle = actor::begin(&shared, id, Begin::New(facts)).map_err(|error| not_saved(&error))?;
            actors.insert(id, handle.clone());
            handle
        };
        if let Some(by) = by {
            tracing::info!(instance = %id, by = %shared.name_of(by), "an instance is begun for another device");
        }
        let begun = Instant::now();
        let mut changes = shared.changes.subscribe();
        loop {
            let shown = handle.show();
            let is_begun = |it: &&AppInstance| it.state != InstanceState::Starting;
            match shown.as_ref().filter(is_begun) {
                Some(shown) if shown.state == InstanceState::Failed => {
                    let why = shown.reason.clone().unwrap_or_default();
                    return Err(ErrorDetail::new(
                        ErrorCode::DoesNotFit,
                        why,
                        format!("`tutti app rm {id}` removes it"),
                    ));
                }
                Some(shown) => return Ok(shown.clone()),
                None if begun.elapsed() > BEGIN => {
                    let late = ErrorDetail::new(ErrorCode::TimedOut, "it is still being begun", "look: `tutti app ls`");
                    return shown.ok_or(late);
                }
                None => _ = timeout(Duration::from_millis(200), changes.changed()).await,
            }
        }
    }

    /// Has something done to an instance, wherever it is.
    pub(crate) async fn act(&self, instance: &AppInstance, want: Want) -> Result<AppInstance, ErrorDetail> {
        let id: InstanceId = instance.id.parse().map_err(|_| internal())?;
        let at: DeviceId = instance.device.parse().map_err(|_| internal())?;
        if at == self.0.me || matches!(want, Want::Recover) {
            return self.order_here(id, want).await;
        }
        let order = match want {
            Want::Move(to) => Order::Move(id, *to.as_bytes()),
            Want::Cancel => Order::Cancel(id),
            Want::Stop => Order::Stop(id),
            Want::Start => Order::Start(id),
            Want::End => Order::End(id),
            Want::Tell(text) => Order::Tell(id, text),
            Want::Guard(standby, settings) => Order::Guard(id, *standby.as_bytes(), settings),
            Want::Unguard => Order::Unguard(id),
            Want::Recover => return Err(internal()),
        };
        self.order(at, order).await
    }

    async fn order_here(&self, id: InstanceId, want: Want) -> Result<AppInstance, ErrorDetail> {
        let actor = self.0.find_actor(id).ok_or_else(|| unknown(&id))?;
        let within = if matches!(want, Want::Guard(..)) { GUARD } else { OBEY };
        let (reply, answer) = oneshot::channel();
        actor.tell(Ask::Person(want, reply));
        match timeout(within, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(unknown(&id)),
            Err(_) => Err(ErrorDetail::new(ErrorCode::TimedOut, "it is busy", "look: `tutti app ls`")),
        }
    }

    async fn order(&self, at: DeviceId, order: Order) -> Result<AppInstance, ErrorDetail> {
        let body = self.order_raw(at, order).await?;
        serde_json::from_slice(&body).map_err(|_| misbehaved(&self.0.name_of(at)))
    }

    async fn order_raw(&self, at: DeviceId, order: Order) -> Result<Vec<u8>, ErrorDetail> {
        let answer = self.0.ask(at, &wire::Ask::Do(order)).await;
        let hint = "try again when `tutti devices` shows it online";
        match answer.map_err(|why| ErrorDetail::new(ErrorCode::Offline, why, hint))? {
            Answer::Done(body) => Ok(body),
            Answer::Refused(body) => {
                Err(serde_json::from_slice(&body).unwrap_or_else(|_| misbehaved(&self.0.name_of(at))))
            }
            _ => Err(misbehaved(&self.0.name_of(at))),
        }
    }

    /// The lines of an instance's log behind this number, and if it is here what tells of more.
    pub(crate) async fn log(
        &self,
        instance: &AppInstance,
        after: u64,
    ) -> Result<(Vec<AppLine>, Option<watch::Receiver<u64>>), ErrorDetail> {
        let id: InstanceId = instance.id.parse().map_err(|_| internal())?;
        let at: DeviceId = instance.device.parse().map_err(|_| internal())?;
        if at == self.0.me {
            let actor = self.0.find_actor(id).ok_or_else(|| unknown(&id))?;
            return Ok((actor.log.after(after), Some(actor.log.last())));
        }
        let body = self.order_raw(at, Order::Log(id, after)).await?;
        let lines = serde_json::from_slice(&body).map_err(|_| misbehaved(&self.0.name_of(at)))?;
        Ok((lines, None))
    }

    /// The audit log behind this number.
    pub(crate) fn audited(&self, after: u64) -> Vec<AuditLine> {
        self.0.audit.after(after)
    }

    /// Why an app would be placed where.
    pub(crate) async fn place_why(&self, name: &str, instance: Option<&str>) -> Result<PlaceWhy, ErrorDetail> {
        let facts = self.facts(name).await?;
        let instance = instance.map(|word| self.resolve(word)).transpose()?;
        Ok(self.why(&facts, instance.as_ref()))
    }

    /// Whether this device is an owner of the group.
    pub(crate) fn is_owner(&self) -> bool {
        self.0.is_owner(self.0.me)
    }

    // --- what people want at another device ------------------------------------------------------------------

    /// Whether an instance of a package could go on here, if its home asks for it.
    pub(super) async fn may_guard(
        &self,
        from: DeviceId,
        instance: Option<InstanceId>,
        digest: [u8; 32],
    ) -> Result<(), String> {
        let shared = self.0.clone();
        if !shared.is_member(from) {
            return Err("guests may not ask for that".into());
        }
        let checking = shared.clone();
        let checked = tokio::task::spawn_blocking(move || checking.fit(&digest).map(|_| ()));
        checked.await.map_err(|error| error.to_string())?.map_err(|(_, why)| why)?;
        if let Some(instance) = instance {
            let actor = shared.actor_for(instance).ok_or("it has too many instances")?;
            actor.tell(Ask::Expect(from, digest));
        }
        Ok(())
    }

    pub(super) async fn obey(&self, from: DeviceId, order: Order) -> Result<Vec<u8>, ErrorDetail> {
        let shared = &self.0;
        if !shared.is_member(from) {
            let hint = "ask an owner of the group for another role";
            return Err(ErrorDetail::new(ErrorCode::NotAllowed, "guests may not do this", hint));
        }
        let (instance, want) = match order {
            Order::Run(digest) => return Ok(body(&self.run_here(digest, Some(from)).await?)),
            Order::Log(instance, after) => {
                let mut lines = shared.find_actor(instance).ok_or_else(|| unknown(&instance))?.log.after(after);
                // As many as fit in a message; the rest is asked for next.
                lines.truncate(200);
                return Ok(body(&lines));
            }
            Order::Move(instance, to) => (instance, Want::Move(DeviceId::from_bytes(to))),
            Order::Cancel(instance) => (instance, Want::Cancel),
            Order::Stop(instance) => (instance, Want::Stop),
            Order::Start(instance) => (instance, Want::Start),
            Order::End(instance) => (instance, Want::End),
            Order::Tell(instance, text) => (instance, Want::Tell(text)),
            Order::Guard(instance, standby, settings) => {
                (instance, Want::Guard(DeviceId::from_bytes(standby), settings))
            }
            Order::Unguard(instance) => (instance, Want::Unguard),
        };
        Ok(body(&self.order_here(instance, want).await?))
    }
}

fn body(shown: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(shown).unwrap_or_default()
}
