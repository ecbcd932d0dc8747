//! Every bound of the pool in one place: nothing here grows with what others send.

use std::time::Duration;

/// The most records in the catalogue, those of satellites included.
pub const MAX_RECORDS: usize = 8192;
/// The most bytes of signed records in the catalogue.
pub const MAX_CATALOGUE_BYTES: usize = 64 << 20;
/// The most satellites that one host may vouch for. Of more, those with the lowest ids count.
pub const MAX_SATELLITES_PER_HOST: usize = tutti_model::record::MAX_SATELLITES;
/// The most bytes of signed records kept on disk for the next start; the largest records are left out first.
pub const MAX_SAVED_BYTES: usize = 4 << 20;
/// Records of devices that are not members yet, kept in case the news of their joining is still under way.
pub const MAX_EARLY_RECORDS: usize = 16;

/// The most leases that one device grants.
pub const MAX_LEASES: usize = 1024;
/// The most leases that one device grants to another.
pub const MAX_LEASES_PER_HOLDER: usize = 128;
/// The most resources whose last fencing token is remembered one by one; beyond, they share the highest.
pub const MAX_TOKENS: usize = 2048;
/// The most leases that one device holds or asks for.
pub const MAX_HELD: usize = 256;

/// The most operations under way on this device's resources.
pub const MAX_OPS: usize = 512;
/// The most of them for one other device.
pub const MAX_OPS_PER_DEVICE: usize = 64;
/// The most requests of this device under way.
pub const MAX_REQUESTS: usize = 1024;

/// Notices handed to one peer's session and not yet sent.
pub const NOTICE_WINDOW: usize = 8;

/// The shortest lease.
pub const MIN_LEASE: Duration = Duration::from_secs(1);
/// The longest lease: the longest that a dead holder blocks others.
pub const MAX_LEASE: Duration = Duration::from_secs(300);
/// How long a grant waits for the operations of an earlier lease to stop.
pub const GRANT_PATIENCE: Duration = Duration::from_secs(4);
/// How long a reserved transfer may still be taken after the lease itself is over, if nobody else took one.
pub const RESERVATION_KEPT: Duration = Duration::from_secs(600);

/// How long a request to another device may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a local resource may take to read, write, or begin to stream: less than a request, so that the asker hears of
/// it.
pub const PERFORM_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a stream may stand still before it is given up.
pub const STREAM_PATIENCE: Duration = Duration::from_secs(30);
/// The most that one listing of a storage resource shows.
pub const MAX_LISTED: usize = 100_000;
/// Two changes of the own record are at least this far apart; what comes between is one change.
pub const OWN_RECORD_PACE: Duration = Duration::from_millis(250);
/// How long the catalogue waits for more changes before it is saved.
pub const SAVE_PACE: Duration = Duration::from_secs(5);
/// How long news of others' records wait for more before they are passed on.
pub const RELAY_PACE: Duration = Duration::from_millis(200);
/// How often peers are told which records this device holds, in case a notice was lost.
pub const DIGEST_INTERVAL: Duration = Duration::from_secs(10);
/// How many peers are told each time, in turn: what one lost another has, so that in a large group, where each digest is
/// long, a device still hears of what it lacks from about so many peers each time, and a group at rest stays quiet.
pub const DIGEST_PEERS: usize = 8;
/// How often a peer is told of changed leases at most.
pub const LEASES_PACE: Duration = Duration::from_millis(250);
/// After a notice or a save failed, when it is tried again.
pub const RETRY: Duration = Duration::from_secs(1);
