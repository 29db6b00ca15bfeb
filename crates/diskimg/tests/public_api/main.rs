//! `crates/NAME/public-api.txt` is the public interface of each library, so that a change of it is seen in review.
//!
//!     UPDATE_API=1 cargo test -p diskimg --test public_api
//!
//! The text is made from the sources by `syn`: items without bodies, comments and private parts, in the order in which
//! `lib.rs` exports them, then what their types implement. The JSON of rustdoc would also have implementations that
//! macros make, but needs an unstable compiler, whose format changes with each version.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

mod source_tree;
mod surface;

use std::collections::BTreeSet;
use std::path::Path;

use source_tree::{SourceTree, imports, name_of};
use surface::{implementer, public_impl, public_part};
use syn::{File, Item, ItemUse, Visibility, parse_quote};

/// The libraries whose interface other crates use. The C library has a header instead.
const CRATES: [&str; 7] = ["core", "codec", "raw", "qcow2", "vmdk", "vdi", "diskimg"];

/// The public items of a module, and the modules in it.
fn exported(tree: &SourceTree, module: &[String], names: &mut BTreeSet<String>) -> Vec<Item> {
    let mut all = Vec::new();
    for item in tree.module(module).unwrap() {
        match item {
            Item::Mod(inner) if matches!(inner.vis, Visibility::Public(_)) => {
                let path = [module, &[inner.ident.to_string()]].concat();
                let mut inner = inner.clone();
                inner.attrs.retain(|attribute| attribute.path().is_ident("cfg"));
                let items = exported(tree, &path, names);
                inner.content = Some((Default::default(), items));
                inner.semi = None;
                all.push(Item::Mod(inner));
            }
            Item::Use(import) if matches!(import.vis, Visibility::Public(_)) => {
                all.extend(imported(tree, module, import, names));
            }
            _ => {
                if let Some(name) = name_of(item) {
                    names.insert(name);
                    all.push(public_part(item));
                }
            }
        }
    }
    all
}

/// The items that a `pub use` exports. Those of other crates stay imports.
fn imported(
    tree: &SourceTree,
    module: &[String],
    import: &ItemUse,
    names: &mut BTreeSet<String>,
) -> Vec<Item> {
    let mut all = Vec::new();
    for one in imports(import) {
        let Some((start, rest)) = tree.start(module, &one.path) else {
            let path: syn::Path = syn::parse_str(&one.path.join("::")).unwrap();
            let name = quote_name(&one.name);
            all.push(match one.path.last() == Some(&one.name) {
                true => parse_quote!(pub use #path;),
                false => parse_quote!(pub use #path as #name;),
            });
            continue;
        };
        let item = tree.find(&start, &rest).unwrap_or_else(|| panic!("no item {:?}", one.path));
        names.insert(one.name);
        all.push(public_part(item));
    }
    all
}

fn quote_name(name: &str) -> syn::Ident {
    syn::parse_str(name).unwrap()
}

/// The interface of a crate as text.
fn interface(source: &Path) -> String {
    let tree = SourceTree::load(source);
    let mut names = BTreeSet::new();
    let items = exported(&tree, &[], &mut names);
    let of_public_types = tree.items().filter_map(|item| match item {
        Item::Impl(item) if implementer(item).is_some_and(|name| names.contains(&name)) => public_impl(item),
        _ => None,
    });
    let show = |item| prettyplease::unparse(&File { shebang: None, attrs: Vec::new(), items: vec![item] });
    let mut implemented: Vec<String> = of_public_types.map(|item| show(Item::Impl(item))).collect();
    implemented.sort();
    items.into_iter().map(show).chain(implemented).collect()
}

#[test]
fn public_api_texts_are_those_of_the_sources() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in CRATES {
        let now = interface(&crates.join(name).join("src"));
        let file = crates.join(name).join("public-api.txt");
        if std::env::var_os("UPDATE_API").is_some() {
            std::fs::write(&file, &now).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        let changed = committed.lines().zip(now.lines()).find(|(old, new)| old != new);
        assert!(
            committed == now,
            "the interface of crates/{name} has changed ({changed:?}): run UPDATE_API=1 cargo test -p diskimg --test \
             public_api, and commit the text with the change"
        );
    }
}

#[test]
fn text_has_the_public_parts_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let source = "mod inside; pub use inside::{Shown, shown};
        #[cfg(test)] mod tests { pub fn tested() {} }
        impl Clone for Shown { fn clone(&self) -> Self { todo!() } }";
    let inside = "/// Shown. \n pub struct Shown { pub a: u8, b: u8 } pub(crate) fn hidden() {}
        impl Shown { pub fn method(&self) -> u8 { 1 } fn own(&self) {} }
        pub fn shown(x: u64) -> u64 { x + 1 } pub struct Unexported;";
    std::fs::write(folder.path().join("lib.rs"), source).unwrap();
    std::fs::write(folder.path().join("inside.rs"), inside).unwrap();
    let expected = "pub struct Shown {\n    pub a: u8,\n    private_fields: _,\n}\npub fn shown(x: u64) -> u64 {}\nimpl \
                    Clone for Shown {}\nimpl Shown {\n    pub fn method(&self) -> u8 {}\n}\n";
    assert_eq!(interface(folder.path()), expected);
}
