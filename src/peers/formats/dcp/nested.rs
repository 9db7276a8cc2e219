//! The nested state that a flat list of names and paths stands for.

use std::collections::{BTreeMap, HashMap};

use super::super::super::tree::{Place, Ref, Tree, Value};
use super::list_of;

/// Longest path of keys.
const DEEPEST: usize = 64;

/// A dict or list that is being filled.
#[derive(Default)]
pub(super) struct Nested {
    /// Nodes, the root first. They name each other by index, so that no path is followed by recursion.
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    /// Keys in the order in which they came.
    keys: Vec<Key>,
    members: HashMap<Key, Member>,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Name(String),
    Index(usize),
}

enum Member {
    Node(usize),
    Value(Place),
}

impl Nested {
    /// Puts a value at the end of a path of names and indices.
    pub(super) fn add(&mut self, path: Ref<'_>, value: Place) -> Result<(), String> {
        let keys = path.items().filter(|items| items.len() > 0 && items.len() <= DEEPEST);
        let keys = keys.and_then(|keys| keys.map(key).collect::<Option<Vec<_>>>());
        self.put(keys.ok_or("its path is no list of names and indices")?, value)
    }

    /// Puts a value under a name.
    pub(super) fn add_flat(&mut self, name: &str, value: Place) -> Result<(), String> {
        self.put(vec![Key::Name(name.to_owned())], value)
    }

    fn put(&mut self, mut path: Vec<Key>, value: Place) -> Result<(), String> {
        let last = path.pop().ok_or("its path is empty")?;
        let mut node = self.node(0);
        for key in path {
            node = match self.node_at(node).members.get(&key) {
                Some(Member::Node(inner)) => *inner,
                Some(Member::Value(_)) => return Err("its path leads through a value".to_owned()),
                None => {
                    let inner = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.insert(node, key, Member::Node(inner));
                    inner
                }
            };
        }
        if self.node_at(node).members.contains_key(&last) {
            return Err("its path is there twice".to_owned());
        }
        self.insert(node, last, Member::Value(value));
        Ok(())
    }

    fn node(&mut self, index: usize) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        index
    }

    fn node_at(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    fn insert(&mut self, node: usize, key: Key, member: Member) {
        let node = &mut self.nodes[node];
        node.keys.push(key.clone());
        node.members.insert(key, member);
    }

    /// Adds all to the tree, inner nodes first, and returns the place of the root.
    pub(super) fn into_tree(mut self, tree: &mut Tree) -> Result<Place, String> {
        self.node(0);
        let mut places = vec![None; self.nodes.len()];
        // A node is made after the one that it is in, so the other way round every inner one has its place already.
        for (index, node) in self.nodes.into_iter().enumerate().rev() {
            let place_of = |member: &Member| match member {
                Member::Value(place) => Some(*place),
                Member::Node(inner) => places.get(*inner).copied().flatten(),
            };
            let members = node.keys.iter().filter_map(|key| Some((key, place_of(node.members.get(key)?)?)));
            let members: Vec<(&Key, Place)> = members.collect();
            let place = make(tree, &members)?;
            places[index] = Some(place);
        }
        places.first().copied().flatten().ok_or_else(|| "it is empty".to_owned())
    }
}

/// A list where all keys are indices, else a dict.
fn make(tree: &mut Tree, members: &[(&Key, Place)]) -> Result<Place, String> {
    let indices: Option<BTreeMap<usize, Place>> = (members.iter())
        .map(|(key, place)| match key {
            Key::Index(index) => Some((*index, *place)),
            Key::Name(_) => None,
        })
        .collect();
    if let Some(items) = indices.filter(|items| !items.is_empty()) {
        return tree.add(list_of(items)?);
    }
    let mut entries = Vec::with_capacity(members.len());
    for (key, place) in members {
        let key = match key {
            Key::Name(name) => Value::Text(name.clone()),
            Key::Index(index) => Value::Int(*index as i64),
        };
        entries.push((tree.add(key)?, *place));
    }
    tree.add(Value::Dict(entries))
}

fn key(part: Ref<'_>) -> Option<Key> {
    match part.value() {
        Value::Text(name) => Some(Key::Name(name.clone())),
        Value::Int(index) => usize::try_from(*index).ok().map(Key::Index),
        _ => None,
    }
}
