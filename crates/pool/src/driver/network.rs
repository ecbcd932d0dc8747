//! What the pool needs of the fabric, and how the fabric gives it.
//!
//! The pool sees members and sessions, sends notices and requests, and opens byte streams; addresses,
//! connections and keys stay below. A test gives it a [`Network`] of its own.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::{BoxStream, StreamExt},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tutti_fabric::{Fabric, FabricError, Incoming as FromFabric, Service, View, transport::Priority};
use tutti_model::{DeviceId, ProtocolVersion};

use crate::{
    group::{Group, Member},
    io::SendError,
};

/// Who is in the group, and with whom there is a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// The group.
    pub group: Group,
    /// The sessions: with whom, in which version, and a number that differs for each session.
    pub peers: BTreeMap<DeviceId, (ProtocolVersion, u64)>,
}

/// A byte stream with back-pressure.
pub struct Channel {
    /// To the other side; shut down in good order at the end.
    pub send: Box<dyn AsyncWrite + Send + Unpin>,
    /// From the other side.
    pub recv: Box<dyn AsyncRead + Send + Unpin>,
}

/// What comes in from other members.
pub enum Incoming {
    /// A notice.
    Notice {
        /// From whom.
        from: DeviceId,
        /// What.
        bytes: Bytes,
    },
    /// A request.
    Request {
        /// From whom.
        from: DeviceId,
        /// What.
        bytes: Bytes,
        /// Sends the answer.
        reply: Box<dyn FnOnce(Bytes) + Send>,
    },
    /// A stream.
    Stream {
        /// From whom.
        from: DeviceId,
        /// What it is for.
        header: Bytes,
        /// The stream.
        channel: Channel,
    },
}

/// The network as the pool sees it.
pub trait Network: Send + Sync + 'static {
    /// The group and the sessions: now, and at every change. May skip what was overtaken.
    fn sessions(&self) -> BoxStream<'static, Sessions>;

    /// What comes in from now on. Asked for once. Whoever sends waits while it is not read.
    fn incoming(&self) -> BoxStream<'static, Incoming>;

    /// Asks a member.
    fn request(&self, to: DeviceId, body: Bytes, within: Duration) -> BoxFuture<'static, Result<Bytes, SendError>>;

    /// Tells a member.
    fn notify(&self, to: DeviceId, body: Bytes) -> BoxFuture<'static, Result<(), SendError>>;

    /// Opens a stream to a member.
    fn open(&self, to: DeviceId, bulk: bool, header: Bytes) -> BoxFuture<'static, Result<Channel, SendError>>;
}

impl Network for Fabric {
    fn sessions(&self) -> BoxStream<'static, Sessions> {
        let mut view = self.view();
        view.mark_changed();
        futures_util::stream::unfold(view, |mut view| async move {
            view.changed().await.ok()?;
            let sessions = sessions(&view.borrow_and_update());
            Some((sessions, view))
        })
        .boxed()
    }

    fn incoming(&self) -> BoxStream<'static, Incoming> {
        let queue = self.serve(Service::POOL);
        futures_util::stream::unfold(queue, |mut queue| async move { Some((incoming(queue.recv().await?), queue)) })
            .boxed()
    }

    fn request(&self, to: DeviceId, body: Bytes, within: Duration) -> BoxFuture<'static, Result<Bytes, SendError>> {
        let fabric = self.clone();
        async move {
            fabric.request(to, Service::POOL, Priority::Interactive, body, within).await.map_err(|error| failed(&error))
        }
        .boxed()
    }

    fn notify(&self, to: DeviceId, body: Bytes) -> BoxFuture<'static, Result<(), SendError>> {
        let fabric = self.clone();
        async move {
            fabric.notify(to, Service::POOL, Priority::Interactive, body).await.map_err(|error| failed(&error))
        }
        .boxed()
    }

    fn open(&self, to: DeviceId, bulk: bool, header: Bytes) -> BoxFuture<'static, Result<Channel, SendError>> {
        let fabric = self.clone();
        let priority = if bulk { Priority::Bulk } else { Priority::Interactive };
        async move {
            let channel = fabric.open_stream(to, Service::POOL, priority, header).await;
            channel.map(channel_of).map_err(|error| failed(&error))
        }
        .boxed()
    }
}

fn sessions(view: &View) -> Sessions {
    let members = view.group.members.iter();
    let members = members.map(|(id, member)| (*id, Member { role: member.role, name: member.name })).collect();
    let peers = view.peers.iter().filter_map(|(device, peer)| {
        let session = peer.session.as_ref()?;
        Some((*device, (session.version, session.generation)))
    });
    Sessions { group: Group { members }, peers: peers.collect() }
}

fn incoming(from_fabric: FromFabric) -> Incoming {
    match from_fabric {
        FromFabric::Notice { from, body } => Incoming::Notice { from, bytes: body },
        FromFabric::Request { from, body, reply } => {
            Incoming::Request { from, bytes: body, reply: Box::new(move |answer| reply.send(answer)) }
        }
        FromFabric::Stream { from, header, channel } => Incoming::Stream { from, header, channel: channel_of(channel) },
    }
}

fn channel_of(channel: tutti_fabric::Channel) -> Channel {
    Channel { send: Box::new(channel.send), recv: Box::new(channel.recv) }
}

fn failed(error: &FabricError) -> SendError {
    match error {
        FabricError::NotConnected(_) | FabricError::NotAMember => SendError::NotConnected,
        FabricError::TimedOut => SendError::TimedOut,
        other => SendError::Lost(other.to_string()),
    }
}
