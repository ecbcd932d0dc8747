//! The page, as it was built from `web/`. `cargo xtask test browser` builds it anew and fails if it differs.

/// A file of the page.
pub(crate) struct Asset {
    /// Its path.
    pub(crate) path: &'static str,
    /// Its media type.
    pub(crate) media: &'static str,
    /// Its bytes.
    pub(crate) bytes: &'static [u8],
}

/// Every file of the page.
pub(crate) const ASSETS: [Asset; 4] = [
    Asset { path: "/", media: "text/html; charset=utf-8", bytes: include_bytes!("../web/dist/index.html") },
    Asset { path: "/app.js", media: "text/javascript; charset=utf-8", bytes: include_bytes!("../web/dist/app.js") },
    Asset { path: "/app.css", media: "text/css; charset=utf-8", bytes: include_bytes!("../web/dist/app.css") },
    Asset { path: "/icon.svg", media: "image/svg+xml", bytes: include_bytes!("../web/dist/icon.svg") },
];
