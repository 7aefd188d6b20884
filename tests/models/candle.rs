//! candle models as an `Inference`: the right results, in order, on the workers and nowhere else.

use std::{env, fs, sync::Mutex};

use candle_core::{Device, Tensor};
use gristmill::{ErrorKind, Stage, bulk::Bulk, candle::CandleModel};

use crate::support::process;

fn row(number: u64, columns: usize) -> Tensor {
    let values: Vec<f32> = (0..columns).map(|column| ((number * 31 + column as u64 * 7) % 23) as f32 - 11.0).collect();
    Tensor::from_vec(values, columns, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn items_go_through_in_order_one_by_one_and_stacked() {
    let weights = Tensor::from_vec((0..64).map(|value| (value % 7) as f32).collect(), (8, 8), &Device::Cpu).unwrap();
    let (w1, w2) = (weights.clone(), weights.clone());
    // Integers, so that sums are exact in any order.
    let one = CandleModel::per_item(move |row: &Tensor| row.unsqueeze(0)?.matmul(&w1)?.squeeze(0));
    let many = CandleModel::stacked(move |rows: &Tensor| rows.matmul(&w2));
    let (one, many) = (Bulk::new(one).workers(3), Bulk::new(many).workers(3).chunk_size(7));
    let expected = |number| values(&row(number, 8).unsqueeze(0).unwrap().matmul(&weights).unwrap());
    for results in
        [one.map((0..200).map(|n| row(n, 8))).collect::<Vec<_>>(), many.map((0..200).map(|n| row(n, 8))).collect()]
    {
        assert_eq!(results.len(), 200);
        for (number, result) in results.into_iter().enumerate() {
            let result = result.unwrap();
            assert_eq!(result.dims(), [8]);
            assert_eq!(values(&result), expected(number as u64), "item {number}");
        }
    }
}

#[test]
fn unlike_items_are_not_stacked_and_a_bad_one_fails_alone() {
    let seen = Mutex::new(Vec::new());
    let model = CandleModel::stacked(|rows: &Tensor| {
        seen.lock().unwrap().push(rows.dims().to_vec());
        if rows.flatten_all()?.to_vec1::<f32>()?.contains(&99.0) {
            candle_core::bail!("99 is bad");
        }
        rows * 2.0
    });
    let bad = Tensor::new(&[99_f32, 0.0], &Device::Cpu).unwrap();
    let items = [row(0, 2), row(1, 3), row(2, 2), bad, row(4, 3), row(5, 2)];
    let (results, _) = Bulk::new(model).workers(1).chunk_size(6).run(&items);
    for (number, (result, item)) in results.iter().zip(&items).enumerate() {
        match result {
            Ok(result) => assert_eq!(values(result), values(&(item * 2.0).unwrap())),
            Err(error) => {
                assert_eq!(
                    (number, error.index, error.stage, error.source.kind()),
                    (3, 3, Stage::Run, ErrorKind::User)
                );
                assert!(error.source.to_string().contains("99 is bad"));
            }
        }
    }
    assert!(results[3].is_err());
    assert!(seen.into_inner().unwrap().iter().all(|dims| dims.len() == 2));

    let wrong = CandleModel::stacked(|rows: &Tensor| rows.sum_all());
    let (results, _) = Bulk::new(wrong).run(&[row(0, 2)]);
    assert!(results[0].as_ref().unwrap_err().source.to_string().contains("one row an item"));
}

#[test]
fn a_stacked_result_does_not_keep_its_chunk() {
    let model = CandleModel::stacked(|rows: &Tensor| rows * 2.0);
    let (results, _) = Bulk::new(model).workers(1).chunk_size(4).run(&[row(0, 2), row(1, 2), row(2, 2), row(3, 2)]);
    for result in results {
        let (storage, _) = result.as_ref().unwrap().storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else { panic!("not in main memory") };
        assert_eq!(storage.as_slice::<f32>().unwrap().len(), 2);
    }
}

/// The body of the process below: large products and element-wise operators on two workers.
#[test]
fn child() {
    if env::var_os("GRISTMILL_CANDLE_CHILD").is_none() {
        return;
    }
    let model = CandleModel::per_item(|item: &Tensor| item.matmul(&item.t()?)?.gelu_erf()?.exp()? + 1.0);
    let items = (0..24).map(|number| Tensor::full(0.001 * number as f32, (384, 384), &Device::Cpu).unwrap());
    let mut results = Bulk::new(model).workers(2).map(items);
    assert_eq!(results.by_ref().filter(Result::is_ok).count(), 24);
    let mut names: Vec<String> = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap().trim().to_owned())
        .collect();
    names.sort();
    println!("THREADS {}", names.join(" "));
    println!("NOTES {}", results.report().notes.join("; "));
}

fn child_says(threads: &str) -> (String, String) {
    let output = process::test(module_path!(), "child")
        .env("GRISTMILL_CANDLE_CHILD", "1")
        .env("CANDLE_NUM_THREADS", threads)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let line =
        |name: &str| text.lines().find_map(|line| line.split_once(name)).map(|(_, rest)| rest.to_owned()).unwrap();
    (line("THREADS "), line("NOTES "))
}

#[cfg(target_os = "linux")]
#[test]
fn candle_starts_no_threads_beside_the_workers_if_told_so_and_the_report_says_where_it_may() {
    let (threads, notes) = child_says("1");
    // The main thread and the harness's own have the names of the binary and the test.
    let others: Vec<&str> = threads.split(' ').filter(|name| !name.starts_with("mill-worker-")).collect();
    assert!(others.iter().all(|name| name.starts_with("models") || *name == "candle::child"), "{threads}");
    assert_eq!(threads.split(' ').count() - others.len(), 2, "{threads}");
    assert!(!notes.contains("candle may start"), "{notes}");

    // The guard has something to guard: told otherwise, candle does start threads, and the report says so.
    let (threads, notes) = child_says("3");
    assert_eq!(threads.matches("candle-bp").count(), 2, "{threads}");
    assert!(notes.contains("candle may start 2 threads"), "{notes}");
}
