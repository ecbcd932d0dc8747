//! What a refusal looks like: an HTTP status and a body that says what happened and what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer whose status is 400 or above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs: stable across versions.
    pub code: ErrorCode,
    /// For people: what happened, and why.
    pub message: String,
    /// For people: what to do next; may be empty.
    #[serde(default)]
    pub hint: String,
    /// For `ambiguous`, `no-such-device` and `no-such-resource`: what could have been meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

impl ErrorDetail {
    /// An error without candidates.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), candidates: Vec::new() }
    }

    /// The same with candidates.
    pub fn with_candidates(mut self, candidates: Vec<String>) -> Self {
        self.candidates = candidates;
        self
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $word:literal, $status:literal;)*) => {
        /// Every reason for a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])* $variant,)*
            /// A reason that a newer device knows.
            #[serde(other)]
            Unknown,
        }

        impl ErrorCode {
            /// Every reason that this version knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word, as in the JSON.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* Self::Unknown => "unknown" }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Unknown => 500 }
            }
        }
    };
}

codes! {
    /// The request does not parse, or a field has a value that it may not have.
    BadRequest = "bad-request", 400;
    /// On TCP: the token is missing or wrong.
    Unauthorized = "unauthorized", 401;
    /// On TCP: the `Host` header is not a loopback name (a web page rebinding a name would send its own).
    ForbiddenHost = "forbidden-host", 403;
    /// In the console: another page than the console's own made the browser ask.
    CrossOrigin = "cross-origin", 403;
    /// There is no such route.
    NoSuchRoute = "no-such-route", 404;
    /// The route does not take this method.
    MethodNotAllowed = "method-not-allowed", 405;
    /// No device has this name or id.
    NoSuchDevice = "no-such-device", 404;
    /// The device offers no resource with this name.
    NoSuchResource = "no-such-resource", 404;
    /// More than one is meant; `candidates` lists them.
    Ambiguous = "ambiguous", 409;
    /// The device's role in the group does not allow it.
    NotOwner = "not-owner", 403;
    /// The resource's policy does not allow it.
    NotAllowed = "not-allowed", 403;
    /// The device is in the group, and cannot be reached now.
    Offline = "offline", 503;
    /// The other device did not answer in time.
    TimedOut = "timed-out", 504;
    /// Somebody else holds the lease of the resource.
    Held = "held", 409;
    /// No such lease, or it has ended; a newer token may have been granted.
    LeaseLost = "lease-lost", 410;
    /// The resource gives no readings.
    NotReadable = "not-readable", 405;
    /// The resource takes no values.
    NotWritable = "not-writable", 405;
    /// The resource takes no such value.
    BadValue = "bad-value", 422;
    /// The driver or the hardware failed.
    ResourceFailed = "resource-failed", 502;
    /// A device that joins or leaves a group must, or must not, be alone in its own.
    NotAlone = "not-alone", 409;
    /// The last owner can neither leave nor be forgotten nor lose the role.
    LastOwner = "last-owner", 409;
    /// A pairing code or recovery words do not have the right form.
    BadCode = "bad-code", 400;
    /// The ticket does not parse, or is damaged.
    BadTicket = "bad-ticket", 400;
    /// The pairing code is not the one that is shown.
    WrongCode = "wrong-code", 403;
    /// The other device shows no code now.
    NoOffer = "no-offer", 409;
    /// The code or ticket is too old.
    Expired = "expired", 410;
    /// Another attempt is under way.
    Busy = "busy", 409;
    /// Nothing answers at the device's addresses.
    Unreachable = "unreachable", 504;
    /// The other device broke the protocol, or speaks no version in common.
    PeerMisbehaved = "peer-misbehaved", 502;
    /// Recovery words have been exported before.
    AlreadyExported = "already-exported", 409;
    /// The recovery words are not this group's.
    WrongWords = "wrong-words", 403;
    /// A resource with this name exists that was not offered this way.
    NameTaken = "name-taken", 409;
    /// No such offer, or it was withdrawn.
    NoSuchOffer = "no-such-offer", 404;
    /// No such screen.
    NoSuchScreen = "no-such-screen", 404;
    /// No such file in the storage.
    NoSuchFile = "no-such-file", 404;
    /// The path is not one that a storage takes (`..`, empty, too long, a folder).
    BadPath = "bad-path", 400;
    /// The storage's quota would be exceeded.
    QuotaExceeded = "quota-exceeded", 507;
    /// The disk is full or failing; nothing was lost, and nothing was done.
    StorageFailed = "storage-failed", 507;
    /// No core has this name.
    NoSuchCore = "no-such-core", 404;
    /// No owner has allowed an app of this name.
    NoSuchApp = "no-such-app", 404;
    /// No instance has this id, or begins so.
    NoSuchInstance = "no-such-instance", 404;
    /// The package is damaged, or no package.
    BadPackage = "bad-package", 422;
    /// No owner has allowed it.
    NotGranted = "not-granted", 403;
    /// No device, or not the one that was named, can run the app.
    DoesNotFit = "does-not-fit", 409;
    /// The instance cannot be moved.
    NotMovable = "not-movable", 409;
    /// It makes no sense in the state that the core or instance is in.
    WrongState = "wrong-state", 409;
    /// What runs the core has no way to do it.
    Unsupported = "unsupported", 501;
    /// The device's System Device Tree cannot be read, or cannot be drawn.
    BadTree = "bad-tree", 422;
    /// No link to satellites has this name.
    NoSuchLink = "no-such-link", 404;
    /// The body or the number of things asked for is over a bound.
    TooLarge = "too-large", 413;
    /// Too many requests, streams or offers at a time.
    TooMany = "too-many", 429;
    /// The device is stopping.
    Stopping = "stopping", 503;
    /// A fault in the device itself.
    Internal = "internal", 500;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for ErrorDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ErrorDetail {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_words() {
        for &code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
            assert!((400..600).contains(&code.status()), "{code}");
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"from-the-future\"").unwrap(), ErrorCode::Unknown);
    }

    #[test]
    fn bodies_have_the_agreed_form() {
        let body = ErrorBody { error: ErrorDetail::new(ErrorCode::Held, "bob holds it", "wait 3 s") };
        insta::assert_json_snapshot!(body, @r#"
        {
          "error": {
            "code": "held",
            "message": "bob holds it",
            "hint": "wait 3 s"
          }
        }
        "#);
        let short: ErrorBody = serde_json::from_str(r#"{"error":{"code":"x","message":"y"}}"#).unwrap();
        assert_eq!(short.error.code, ErrorCode::Unknown);
    }
}
