// SPDX-License-Identifier: MIT
// Generic code for the compiler; its program allocates in threads.
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::mpsc;
use std::thread;

trait Shape: Debug + Send {
    fn size(&self) -> usize;
}

#[derive(Debug, Clone)]
struct Named<T>(String, Vec<T>);

impl<T: Debug + Send> Shape for Named<T> {
    fn size(&self) -> usize {
        self.0.len() + self.1.len()
    }
}

fn shapes(seed: usize) -> Vec<Box<dyn Shape>> {
    (0..5000usize)
        .map(|n| -> Box<dyn Shape> {
            if n % 2 == 0 {
                Box::new(Named(format!("shape {}", n * seed), vec![n as u8; n % 40]))
            } else {
                Box::new(Named(n.to_string(), vec![n as f64; n % 30]))
            }
        })
        .collect()
}

fn main() {
    let (sender, receiver) = mpsc::channel();
    for seed in 1..5 {
        let sender = sender.clone();
        thread::spawn(move || sender.send((seed, shapes(seed))).unwrap());
    }
    drop(sender);
    let mut sums = BTreeMap::new();
    for (seed, list) in receiver {
        let words: HashMap<usize, String> =
            list.iter().enumerate().map(|(n, s)| (n, format!("{:?}", s))).collect();
        let text: usize = words.values().map(String::len).sum();
        sums.insert(seed, (list.iter().map(|s| s.size()).sum::<usize>(), text));
    }
    println!("{:?}", sums);
}
