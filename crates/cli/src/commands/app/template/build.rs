//! A small stack: what is not there need not be moved. Make it larger if the app recurses deeply.
fn main() {
    println!("cargo:rustc-link-arg=-zstack-size=65536");
}
