//! The modules of a crate, parsed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, ItemUse, Meta, UseTree, Visibility};

/// The items of each module, by the path of the module in its crate. Tests are left out.
pub(crate) struct SourceTree(BTreeMap<Vec<String>, Vec<Item>>);

/// A path of a `use`, and the name that it gives.
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) name: String,
}

impl SourceTree {
    pub(crate) fn load(source: &Path) -> Self {
        let mut tree = Self(BTreeMap::new());
        tree.add(Vec::new(), &source.join("lib.rs"), source);
        tree
    }

    pub(crate) fn module(&self, path: &[String]) -> Option<&[Item]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// All items of all modules.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.0.values().flatten()
    }

    fn add(&mut self, path: Vec<String>, file: &Path, folder: &Path) {
        let text = std::fs::read_to_string(file).unwrap();
        let items =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items;
        self.add_items(path, items, folder);
    }

    fn add_items(&mut self, path: Vec<String>, items: Vec<Item>, folder: &Path) {
        let mut kept = Vec::new();
        for item in items {
            let Item::Mod(module) = item else {
                kept.push(item);
                continue;
            };
            if is_for_tests(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let inside = [path.as_slice(), std::slice::from_ref(&name)].concat();
            let below = folder.join(&name);
            match &module.content {
                Some((_, items)) => self.add_items(inside, items.clone(), &below),
                None => self.add(inside, &module_file(folder, &name), &below),
            }
            kept.push(Item::Mod(module));
        }
        self.0.insert(path, kept);
    }

    /// The public item that a path leads to, through further imports.
    pub(crate) fn find(&self, module: &[String], path: &[String]) -> Option<&Item> {
        let (name, folders) = path.split_last()?;
        let module = [module, folders].concat();
        let items = self.module(&module)?;
        if let Some(item) = items.iter().find(|item| name_of(item).as_ref() == Some(name)) {
            return Some(item);
        }
        let imports = items.iter().filter_map(|item| match item {
            Item::Use(import) => Some(imports(import)),
            _ => None,
        });
        let import = imports.flatten().find(|import| import.name == *name)?;
        let (start, rest) = self.start(&module, &import.path)?;
        self.find(&start, &rest)
    }

    /// The module that a path of a `use` in `module` starts from, and the rest of the path. `None` for other crates.
    pub(crate) fn start(&self, module: &[String], path: &[String]) -> Option<(Vec<String>, Vec<String>)> {
        let (mut start, mut rest) = (module.to_vec(), path);
        match path.first()?.as_str() {
            "crate" => (start, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                start.pop();
                rest = &path[1..];
            }
            first if self.0.contains_key(&[module, &[first.to_owned()]].concat()) => {}
            _ => return None,
        }
        Some((start, rest.to_vec()))
    }
}

fn module_file(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(format!("{name}.rs"));
    if file.exists() { file } else { folder.join(name).join("mod.rs") }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let text = list.tokens.to_string();
            text == "test" || text.starts_with("all (test") || text.starts_with("all(test")
        }
        _ => false,
    })
}

/// The name of an item that other crates could use.
pub(crate) fn name_of(item: &Item) -> Option<String> {
    let (visibility, name) = match item {
        Item::Const(item) => (&item.vis, &item.ident),
        Item::Enum(item) => (&item.vis, &item.ident),
        Item::Fn(item) => (&item.vis, &item.sig.ident),
        Item::Static(item) => (&item.vis, &item.ident),
        Item::Struct(item) => (&item.vis, &item.ident),
        Item::Trait(item) => (&item.vis, &item.ident),
        Item::Type(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    matches!(visibility, Visibility::Public(_)).then(|| name.to_string())
}

/// The single imports of a `use`.
pub(crate) fn imports(item: &ItemUse) -> Vec<Import> {
    fn walk(tree: &UseTree, path: &[String], all: &mut Vec<Import>) {
        let with = |name: &syn::Ident| [path, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(step) => walk(&step.tree, &with(&step.ident), all),
            UseTree::Name(name) if name.ident == "self" => {
                let name = path.last().cloned().unwrap_or_default();
                all.push(Import { path: path.to_vec(), name });
            }
            UseTree::Name(name) => {
                all.push(Import { path: with(&name.ident), name: name.ident.to_string() });
            }
            UseTree::Rename(rename) => {
                all.push(Import { path: with(&rename.ident), name: rename.rename.to_string() });
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, path, all)),
            UseTree::Glob(_) => panic!("a glob import of {path:?}"),
        }
    }
    let mut all = Vec::new();
    walk(&item.tree, &[], &mut all);
    all
}
