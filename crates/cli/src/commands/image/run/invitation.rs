//! The ticket that a device is handed when it boots.
//!
//! No person hands it on: it goes from this machine's device into a folder that only this user can read, and from there into the
//! emulator. So it may live for longer than one that is shown, as long as a boot by an interpreter on a busy machine takes.
//! It is good for one device as any is, its code dies in two minutes as any does, and it is withdrawn when the
//! emulator ends, if nobody has used it until then.

use std::time::{Duration, Instant};

use tutti_control::{Client, ClientError, PairingState, Role};

/// How long the ticket lives.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// How far apart two offers are at least that are not the same. A device that has been asked for one answers within this.
const APART: Duration = Duration::from_secs(3);

/// An offer to pair, with a ticket for the device that boots.
pub(super) struct Invitation<'a> {
    client: &'a Client,
    ticket: String,
    /// When it ends by itself.
    ends: Instant,
}

impl<'a> Invitation<'a> {
    pub(super) async fn make(client: &'a Client) -> Result<Self, ClientError> {
        let offer = client.offer_pairing_for(Role::Member, LIFE).await?;
        let ends = Instant::now() + Duration::from_millis(offer.expires_in_ms);
        Ok(Self { client, ticket: offer.ticket, ends })
    }

    pub(super) fn ticket(&self) -> &str {
        &self.ticket
    }

    /// Takes it back unless it was used. A device has one offer at a time: one that ends at another time was made since, by
    /// somebody else, and has taken the place of this one.
    pub(super) async fn withdraw(self) {
        let Ok(status) = self.client.pairing().await else { return };
        let left = self.ends.saturating_duration_since(Instant::now());
        let is_this = |ends: u64| Duration::from_millis(ends).abs_diff(left) <= APART;
        if status.state == PairingState::Open && status.expires_in_ms.is_some_and(is_this) {
            // If it cannot be withdrawn, it ends by itself.
            let _ = self.client.cancel_pairing().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tutti_control::{
        PairingOffer, PairingStatus,
        fake::{Answer, FakeDevice},
    };

    use super::*;

    /// What a device is asked whose offer stands like this when the emulator has ended.
    async fn asked(status: PairingStatus) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let life = u64::try_from(LIFE.as_millis()).unwrap();
        let device = FakeDevice::start(folder.path().join("socket"), move |asked| match asked.method.as_str() {
            "POST" => {
                let (code, ticket) = ("042917".into(), "ticket".into());
                Answer::json(&PairingOffer { code, ticket, role: Role::Member, expires_in_ms: life })
            }
            "GET" => Answer::json(&status),
            _ => Answer::done(),
        });
        let device = device.unwrap();
        let client = Client::unix(&device.socket);
        let invitation = Invitation::make(&client).await.unwrap();
        assert_eq!(invitation.ticket(), "ticket");
        invitation.withdraw().await;
        device.asked().iter().map(|asked| format!("{} {}", asked.method, asked.body).trim().to_owned()).collect()
    }

    #[tokio::test]
    async fn what_nobody_has_used_is_withdrawn_and_only_that() {
        let status = |state, left| PairingStatus { expires_in_ms: left, ..PairingStatus::of(state) };
        let make = r#"POST {"role":"member","ticket_life_ms":1800000}"#;
        assert_eq!(asked(status(PairingState::Open, Some(1_799_500))).await, [make, "GET", "DELETE"]);
        assert_eq!(asked(status(PairingState::Open, Some(119_000))).await, [make, "GET"], "somebody else's");
        assert_eq!(asked(PairingStatus::of(PairingState::Paired)).await, [make, "GET"]);
    }
}
