use burn::tensor::Device;

use super::*;
use crate::error::{Error, ExitCode};
use crate::model::config::tests::tiny;
use crate::model::weights::{Parameter, initialize};
use crate::model::{Architecture, HeadKind, HeadSpec};

fn model(seed: u64) -> Model {
    let head = HeadSpec::new("t", HeadKind::Span, Vec::new());
    initialize(&tiny(Architecture::XlmRoberta), &[head], seed, &Device::flex())
}

fn parameters(model: &Model) -> Vec<(String, Parameter)> {
    let mut model = model.clone();
    model.parameters().into_iter().map(|(name, slot)| (name, Parameter::read(slot).unwrap())).collect()
}

fn state(step: u64) -> State {
    let entry = StepLog { loss: 0.1, norm: 0.3, tokens: 77, micro_batches: 2, scale: 1024.0 };
    let evaluation = Evaluation { step, task: "t".into(), metric: "accuracy".into(), value: 0.1 + 0.2 };
    State {
        step,
        evaluations: vec![evaluation],
        best: Some(Best { step, score: 0.1 + 0.2 }),
        stale: 1,
        micro_batch_tokens: Some(64),
        scale: Some(LossScale::default()),
        log: vec![entry; step as usize],
    }
}

/// Writes a checkpoint of `step` whose parameters have the step as their seed.
fn write(checkpoints: &mut Checkpoints, step: u64) -> Result<()> {
    let mut model = model(step);
    let mut optimizer = AdamW::new(&mut model, 1e-8, 0.01, 1.0);
    let first = Tensor::from_data(TensorData::new(vec![step as f32; 16], [16]), (&Device::flex(), DType::F32));
    optimizer.moments[1] = Some(Moments { steps: step as u32, second: first.clone() * 2.0, first });
    checkpoints.write(&model, Some(&self::model(step + 100)), &optimizer, &state(step))
}

fn read(checkpoints: &mut Checkpoints, warnings: &mut Vec<String>) -> Result<Option<(u64, AdamW)>> {
    let mut model = model(0);
    let mut optimizer = AdamW::new(&mut model, 1e-8, 0.01, 1.0);
    let Some((found, best)) =
        checkpoints.read(&mut model, &mut optimizer, &mut |warning| warnings.push(warning.to_owned()))?
    else {
        return Ok(None);
    };
    assert_eq!(found, state(found.step));
    assert_eq!(parameters(&model), parameters(&self::model(found.step)));
    assert_eq!(parameters(&best.unwrap()), parameters(&self::model(found.step + 100)));
    Ok(Some((found.step, optimizer)))
}

fn checkpoints(directory: &Path) -> Checkpoints {
    Checkpoints::new(&Scratch::alone(directory), "this".into(), CheckpointEvery::default())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_newest_two_are_kept_and_the_newest_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let scratch = directory.path().join("scratch");
    let mut kept = checkpoints(&scratch);
    assert!(read(&mut kept, &mut Vec::new()).unwrap().is_none());
    for step in [8, 9, 10, 11] {
        write(&mut kept, step).unwrap();
    }
    assert_eq!(names(&scratch), ["checkpoint-0000000010.safetensors", "checkpoint-0000000011.safetensors"]);
    let mut warnings = Vec::new();
    let (step, optimizer) = read(&mut checkpoints(&scratch), &mut warnings).unwrap().unwrap();
    assert_eq!((step, warnings.len()), (11, 0));
    let moments = optimizer.moments[1].as_ref().unwrap();
    assert_eq!((moments.steps, values(moments.second.clone()).unwrap()), (11, vec![22.0; 16]));
    assert!(optimizer.moments[0].is_none());

    let mut other = Checkpoints::new(&Scratch::alone(&scratch), "other".into(), CheckpointEvery::default());
    let error = read(&mut other, &mut warnings).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("belongs to another training"), "{error}");
}

#[test]
fn a_damaged_newest_one_gives_way_to_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let of = |cut: bool| directory.path().join(if cut { "cut" } else { "changed" });
    for (damage, cut) in [("cut off", true), ("not those that were written", false)] {
        let scratch = &of(cut);
        let mut kept = checkpoints(scratch);
        write(&mut kept, 5).unwrap();
        write(&mut kept, 6).unwrap();
        let newest = scratch.join("checkpoint-0000000006.safetensors");
        let mut bytes = std::fs::read(&newest).unwrap();
        let middle = bytes.len() - 5_000;
        if cut {
            bytes.truncate(middle);
        } else {
            bytes[middle] ^= 1;
        }
        std::fs::write(&newest, &bytes).unwrap();
        let mut again = checkpoints(scratch);
        let mut warnings = Vec::new();
        assert_eq!(read(&mut again, &mut warnings).unwrap().unwrap().0, 5);
        assert!(warnings[0].contains(damage) && warnings.len() == 1, "{warnings:?}");

        // The good one stays until there is another good one beside it, whatever their steps.
        write(&mut again, 7).unwrap();
        assert_eq!(names(scratch), ["checkpoint-0000000005.safetensors", "checkpoint-0000000007.safetensors"]);
    }
    let scratch = &of(true);
    for name in names(scratch) {
        std::fs::write(scratch.join(name), "nothing").unwrap();
    }
    let error = read(&mut checkpoints(scratch), &mut Vec::new()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("no checkpoint is whole"), "{error}");
    assert_eq!(error.exit(), ExitCode::Storage);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_leaves_the_older_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let mut kept = checkpoints(directory.path());
    write(&mut kept, 5).unwrap();
    // Every write to this device fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", directory.path().join(UNFINISHED)).unwrap();
    let error = write(&mut kept, 6).unwrap_err();
    assert!(matches!(error, Error::File(_)) && error.to_string().contains("free some space"), "{error}");
    assert_eq!(error.exit(), ExitCode::Storage);
    assert_eq!(names(directory.path()), ["checkpoint-0000000005.safetensors"]);
    assert_eq!(read(&mut kept, &mut Vec::new()).unwrap().unwrap().0, 5);
    write(&mut kept, 6).unwrap();
    assert_eq!(names(directory.path()).len(), 2);
}

#[test]
fn writing_takes_at_most_a_tenth_of_the_time() {
    let seconds = Duration::from_secs;
    assert_eq!(pause(seconds(30), seconds(1)), seconds(30));
    assert_eq!(pause(seconds(30), seconds(20)), seconds(180));
    let directory = tempfile::tempdir().unwrap();
    let every = |every| Checkpoints::new(&Scratch::alone(directory.path()), "this".into(), every);
    assert!(!every(CheckpointEvery::default()).due(1));
    assert!(every(CheckpointEvery::Time(Duration::ZERO)).due(1));
    assert!(every(CheckpointEvery::Steps(3)).due(6) && !every(CheckpointEvery::Steps(3)).due(7));
}

#[test]
fn the_interval_reads_from_text() {
    let read = |text: &str| text.parse::<CheckpointEvery>();
    assert_eq!(read("500"), Ok(CheckpointEvery::Steps(500)));
    assert_eq!(read("90s"), Ok(CheckpointEvery::Time(Duration::from_secs(90))));
    assert_eq!(read("2h"), Ok(CheckpointEvery::Time(Duration::from_secs(7_200))));
    for text in ["0", "0s", "-1", "5 m", "1d", "", "s", "99999999999999999999h"] {
        assert!(read(text).is_err(), "{text}");
    }
}
