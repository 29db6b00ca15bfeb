//! Compiles the C program of the fuzz target, with the public header.

fn main() {
    println!("cargo:rerun-if-changed=c");
    println!("cargo:rerun-if-changed=../../include/diskimg.h");
    cc::Build::new()
        .files(["entry", "image", "target", "stream", "file", "harness"].map(|name| format!("c/{name}.c")))
        .include("../../include")
        .std("c99")
        .extra_warnings(true)
        .warnings_into_errors(true)
        .compile("capi_entry");
}
