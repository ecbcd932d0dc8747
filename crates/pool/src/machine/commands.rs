//! What this device wants of resources, its own or others'.

use bytes::Bytes;
use tutti_model::{
    DeviceId, Name, ResourceId,
    message::{LeaseId, Read, Request, StreamHeader, Token, Write},
};

use super::{Pool, ReplyTo, holding::Purpose};
use crate::{
    catalogue::Key,
    error::{PoolError, Subject},
    io::{CallId, Command, Output},
};

impl Pool {
    pub(super) fn on_command(&mut self, call: CallId, command: Command) {
        let begun = match command {
            Command::Read(resource) => self.read(call, resource),
            Command::Write { resource, value, token } => self.write(call, resource, value, token),
            Command::Open(header) => self.open(call, header),
            Command::Acquire { resource, mode, duration, renewed } => {
                self.route(resource).and_then(|()| self.acquire(call, resource, mode, duration, renewed))
            }
            Command::Renew { lease, duration } => {
                self.route(lease.resource).and_then(|()| self.renew(call, lease, duration))
            }
            Command::Release(lease) => self.release(call, lease),
            Command::Reserve { lease, to } => self.route(lease.resource).and_then(|()| self.reserve(call, lease, to)),
            Command::HandOver(lease) => self.hand_over(call, lease),
            Command::Take { hand_over, duration, renewed } => self.take(call, hand_over, duration, renewed),
        };
        if let Err(error) = begun {
            self.out.push_back(Output::Done { call, result: Err(error) });
        }
    }

    fn read(&mut self, call: CallId, resource: ResourceId) -> Result<(), PoolError> {
        self.route(resource)?;
        self.send(resource, Request::Read(Read { resource }), Purpose::Use { call, lease: None })
    }

    fn write(
        &mut self,
        call: CallId,
        resource: ResourceId,
        value: tutti_model::Value,
        token: Option<Token>,
    ) -> Result<(), PoolError> {
        self.route(resource)?;
        let token = self.token_for(resource, token)?;
        let lease = token.map(|token| LeaseId { resource, token });
        self.send(resource, Request::Write(Write { resource, value, token }), Purpose::Use { call, lease })
    }

    fn open(&mut self, call: CallId, mut header: StreamHeader) -> Result<(), PoolError> {
        let resource = header.resource();
        self.route(resource)?;
        match &mut header {
            StreamHeader::Put(put) => put.token = self.token_for(resource, put.token)?,
            StreamHeader::Delete(delete) => delete.token = self.token_for(resource, delete.token)?,
            StreamHeader::Follow(_) | StreamHeader::List(_) | StreamHeader::Get(_) => {}
        }
        if self.own.is_or_hosts(resource.device) {
            self.serve_stream(self.me, ReplyTo::LocalStream(call, resource), header);
            return Ok(());
        }
        let to = self.host_of(resource.device).ok_or(PoolError::UnknownDevice(resource.device))?;
        let header = Bytes::from(header.emit().map_err(PoolError::TooLong)?);
        self.out.push_back(Output::Open { call, to, header });
        Ok(())
    }

    /// The token to act under: the one named, if it is still believed in, else that of a lease held on the resource.
    fn token_for(&self, resource: ResourceId, named: Option<Token>) -> Result<Option<Token>, PoolError> {
        match named {
            Some(token) => {
                let lease = LeaseId { resource, token };
                self.holds.find(self.now, &lease).map(|_| named).ok_or(PoolError::NotHeld(lease))
            }
            None => {
                let held = self.holds.held(self.now).find(|held| held.lease.resource == resource);
                Ok(held.map(|held| held.lease.token))
            }
        }
    }

    /// Whether the resource's device is in the pool and can be asked now, itself or through its host.
    pub(super) fn route(&self, resource: ResourceId) -> Result<(), PoolError> {
        let host = self.host_of(resource.device).ok_or(PoolError::UnknownDevice(resource.device))?;
        if host == self.me || self.peers.contains_key(&host) {
            Ok(())
        } else {
            Err(PoolError::Offline { subject: self.subject(resource) })
        }
    }

    /// The resource as people call it.
    pub(crate) fn subject(&self, resource: ResourceId) -> Box<Subject> {
        Box::new(Subject { resource, device: self.name_of(resource.device) })
    }

    fn name_of(&self, device: DeviceId) -> Name {
        if device == self.me {
            return self.own.name();
        }
        let key = Key { device, via: self.records.host_of(device).filter(|_| !self.group.contains(device)) };
        let recorded = self.records.get(&key).map(|entry| entry.record.record().name);
        let joined = || self.group.members.get(&device).map(|member| member.name);
        let digits = || Name::sanitize(&device.short().to_string(), self.own.name());
        recorded.or_else(joined).unwrap_or_else(digits)
    }
}
