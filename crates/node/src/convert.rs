//! Between the rooms' vocabulary and that of the control API.

use tutti_control as api;
use tutti_model as model;

/// A value as the API shows it. A sort of value that this version does not know is shown as text.
pub(crate) fn value(value: &model::Value) -> api::Value {
    match value {
        model::Value::Bool(on) => api::Value::Bool(*on),
        model::Value::Int(count) => api::Value::Int(*count),
        model::Value::Float(measure) => api::Value::Float(*measure),
        model::Value::Text(text) => api::Value::Text(text.clone()),
        model::Value::Bytes(bytes) => api::Value::Bytes(bytes.clone()),
        other => api::Value::Text(other.to_string()),
    }
}

/// A value as the rooms take it.
pub(crate) fn model_value(value: api::Value) -> model::Value {
    match value {
        api::Value::Bool(on) => model::Value::Bool(on),
        api::Value::Int(count) => model::Value::Int(count),
        api::Value::Float(measure) => model::Value::Float(measure),
        api::Value::Text(text) => model::Value::Text(text),
        api::Value::Bytes(bytes) => model::Value::Bytes(bytes),
    }
}

pub(crate) const fn role(role: model::Role) -> api::Role {
    match role {
        model::Role::Guest => api::Role::Guest,
        model::Role::Member => api::Role::Member,
        model::Role::Owner => api::Role::Owner,
    }
}

pub(crate) const fn model_role(role: api::Role) -> model::Role {
    match role {
        api::Role::Guest => model::Role::Guest,
        api::Role::Member => model::Role::Member,
        api::Role::Owner => model::Role::Owner,
    }
}

pub(crate) const fn sharing(sharing: model::Sharing) -> api::Sharing {
    match sharing {
        model::Sharing::Shared => api::Sharing::Shared,
        model::Sharing::Exclusive => api::Sharing::Exclusive,
    }
}

pub(crate) const fn model_sharing(sharing: api::Sharing) -> model::Sharing {
    match sharing {
        api::Sharing::Shared => model::Sharing::Shared,
        api::Sharing::Exclusive => model::Sharing::Exclusive,
    }
}

pub(crate) const fn access(policy: model::AccessPolicy) -> api::Access {
    const fn audience(audience: model::Audience) -> api::Audience {
        match audience {
            model::Audience::Nobody => api::Audience::Nobody,
            model::Audience::Owners => api::Audience::Owners,
            model::Audience::Members => api::Audience::Members,
            model::Audience::Guests => api::Audience::Guests,
        }
    }
    api::Access { read: audience(policy.read), control: audience(policy.control) }
}

pub(crate) const fn source(source: tutti_fabric::view::Source) -> api::Source {
    match source {
        tutti_fabric::view::Source::Mdns => api::Source::Mdns,
        tutti_fabric::view::Source::SameHost => api::Source::SameHost,
        tutti_fabric::view::Source::Ticket => api::Source::Ticket,
        tutti_fabric::view::Source::Saved => api::Source::Saved,
        tutti_fabric::view::Source::Observed => api::Source::Observed,
    }
}

pub(crate) const fn presence(presence: tutti_pool::Presence) -> api::Presence {
    match presence {
        tutti_pool::Presence::Myself => api::Presence::Myself,
        tutti_pool::Presence::Online => api::Presence::Online,
        tutti_pool::Presence::Offline => api::Presence::Offline,
    }
}

/// What a device says that it has, without how busy it is.
pub(crate) fn room(capacity: model::Capacity) -> api::DeviceRoom {
    let model::Capacity { memory, processors, for_apps } = capacity;
    api::DeviceRoom {
        memory: (memory > 0).then_some(memory),
        processors: (processors > 0).then_some(u32::from(processors)),
        for_apps,
        memory_taken: None,
        processors_taken: None,
    }
}

pub(crate) const fn lease_mode(mode: model::message::LeaseMode) -> api::LeaseMode {
    match mode {
        model::message::LeaseMode::Shared => api::LeaseMode::Shared,
        model::message::LeaseMode::Exclusive => api::LeaseMode::Exclusive,
    }
}

pub(crate) const fn model_lease_mode(mode: api::LeaseMode) -> model::message::LeaseMode {
    match mode {
        api::LeaseMode::Shared => model::message::LeaseMode::Shared,
        api::LeaseMode::Exclusive => model::message::LeaseMode::Exclusive,
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
