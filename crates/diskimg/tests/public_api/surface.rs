//! The public part of items: without bodies, comments and private fields.

use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, TraitItem, Type, Visibility, parse_quote};

/// Removes what other crates cannot see. Private fields become one field `private_fields`.
pub(crate) fn public_part(item: &Item) -> Item {
    let mut item = item.clone();
    match &mut item {
        Item::Const(item) => {
            keep(&mut item.attrs);
            *item.expr = parse_quote!(_);
        }
        Item::Static(item) => {
            keep(&mut item.attrs);
            *item.expr = parse_quote!(_);
        }
        Item::Fn(item) => {
            keep(&mut item.attrs);
            *item.block = parse_quote!({});
        }
        Item::Type(item) => keep(&mut item.attrs),
        Item::Struct(item) => {
            keep(&mut item.attrs);
            public_fields(&mut item.fields);
        }
        Item::Enum(item) => {
            keep(&mut item.attrs);
            for variant in &mut item.variants {
                keep(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| keep(&mut field.attrs));
            }
        }
        Item::Trait(item) => {
            keep(&mut item.attrs);
            item.items.iter_mut().for_each(public_trait_item);
        }
        _ => {}
    }
    item
}

/// The public methods and constants of a type, or the head of an implementation of a trait. `None` if there is none.
pub(crate) fn public_impl(item: &ItemImpl) -> Option<ItemImpl> {
    let mut item = item.clone();
    keep(&mut item.attrs);
    if item.trait_.is_some() {
        item.items.clear();
        return Some(item);
    }
    item.items.retain_mut(|member| match member {
        ImplItem::Fn(method) => {
            keep(&mut method.attrs);
            method.block = parse_quote!({});
            matches!(method.vis, Visibility::Public(_))
        }
        ImplItem::Const(constant) => {
            keep(&mut constant.attrs);
            constant.expr = parse_quote!(_);
            matches!(constant.vis, Visibility::Public(_))
        }
        _ => false,
    });
    (!item.items.is_empty()).then_some(item)
}

/// The name of the type that a block implements something for.
pub(crate) fn implementer(item: &ItemImpl) -> Option<String> {
    match &*item.self_ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// Keeps the attributes that change how an item is used.
fn keep(attributes: &mut Vec<Attribute>) {
    let kept = ["cfg", "derive", "must_use", "non_exhaustive", "repr"];
    attributes.retain(|attribute| kept.iter().any(|name| attribute.path().is_ident(name)));
}

fn public_fields(fields: &mut Fields) {
    let is_public = |visibility: &Visibility| matches!(visibility, Visibility::Public(_));
    fields.iter_mut().for_each(|field| keep(&mut field.attrs));
    match fields {
        Fields::Named(named) => {
            let all = named.named.len();
            let mut shown: Vec<syn::Field> =
                named.named.iter().filter(|f| is_public(&f.vis)).cloned().collect();
            if shown.len() < all {
                let private: syn::FieldsNamed = parse_quote!({ private_fields: _ });
                shown.extend(private.named);
            }
            named.named = shown.into_iter().collect();
        }
        Fields::Unnamed(unnamed) => {
            for field in unnamed.unnamed.iter_mut().filter(|field| !is_public(&field.vis)) {
                field.ty = parse_quote!(_);
            }
        }
        Fields::Unit => {}
    }
}

fn public_trait_item(item: &mut TraitItem) {
    match item {
        TraitItem::Fn(method) => {
            keep(&mut method.attrs);
            if let Some(body) = &mut method.default {
                *body = parse_quote!({});
            }
        }
        TraitItem::Const(constant) => keep(&mut constant.attrs),
        TraitItem::Type(kind) => keep(&mut kind.attrs),
        _ => {}
    }
}
