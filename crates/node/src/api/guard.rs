//! Who may come in by TCP: whoever knows the token and means this machine.

use std::{fs, io, io::Read, os::unix::fs::PermissionsExt, path::Path};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use rand::{TryRng, rngs::SysRng};
use subtle::ConstantTimeEq;
use tutti_control::{ErrorCode, host::is_loopback, runtime::TOKEN_FILE};

use super::{error::ApiError, server::Entrance};
use crate::state::write_file;

/// The word that a client on TCP has to know: 256 random bits in hexadecimal.
#[derive(Clone)]
pub(crate) struct Token([u8; 64]);

impl Token {
    /// The token of a state folder; a new one if there is none, or none that others could not have read.
    pub(crate) fn load_or_create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(TOKEN_FILE);
        if let Ok(file) = fs::File::open(&path)
            && file.metadata()?.permissions().mode() & 0o077 == 0
        {
            let mut text = String::new();
            file.take(256).read_to_string(&mut text)?;
            if let Ok(token) = <[u8; 64]>::try_from(text.trim().as_bytes()) {
                return Ok(Self(token));
            }
        }
        let mut bytes = [0; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        let mut token = [0; 64];
        for (digits, byte) in token.chunks_exact_mut(2).zip(bytes) {
            let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        write_file(folder, TOKEN_FILE, &[&token[..], b"\n"].concat())?;
        Ok(Self(token))
    }

    fn is(&self, candidate: &[u8]) -> bool {
        self.0.ct_eq(candidate).into()
    }
}

/// Lets through what came by the Unix socket, and what came by TCP with the right token and host.
pub(crate) async fn check(
    State(token): State<Option<Token>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if request.extensions().get::<Entrance>() != Some(&Entrance::Unix) {
        check_host(request.headers())?;
        check_token(request.headers(), token.as_ref())?;
    }
    Ok(next.run(request).await)
}

fn check_host(headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_loopback(host) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::ForbiddenHost,
        "the Host header does not name this machine",
        "send the request to 127.0.0.1, [::1] or localhost",
    ))
}

fn check_token(headers: &HeaderMap, token: Option<&Token>) -> Result<(), ApiError> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match (given, token) {
        (Some(given), Some(token)) if token.is(given.trim_ascii()) => Ok(()),
        (given, _) => Err(ApiError::new(
            ErrorCode::Unauthorized,
            if given.is_some() { "the token is wrong" } else { "a token is needed on TCP" },
            format!("send `Authorization: Bearer TOKEN` with what is in the file {TOKEN_FILE} of the state folder"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_again_if_others_could_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Token::load_or_create(dir.path()).unwrap();
        assert!(first.0.iter().all(u8::is_ascii_hexdigit));
        let path = dir.path().join(TOKEN_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Token::load_or_create(dir.path()).unwrap().0, first.0);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_ne!(Token::load_or_create(dir.path()).unwrap().0, first.0);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        assert!(Token::load_or_create(dir.path()).unwrap().0.iter().all(u8::is_ascii_hexdigit));
    }

    #[test]
    fn only_the_whole_token_passes() {
        let token = Token(*b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        assert!(token.is(&token.0));
        assert!(!token.is(&token.0[..63]));
        assert!(!token.is(b""));
        let mut other = token.0;
        other[63] ^= 1;
        assert!(!token.is(&other));
    }
}
