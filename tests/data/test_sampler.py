from collections import Counter
from dataclasses import replace

import pytest

from tests.helpers import records_of
from vireid.data.sampler import IdentityBatchSampler, identity_batches
from vireid.errors import DataError, UsageError
from vireid.structures import Modality

EVEN = records_of(dict.fromkeys((2, 3, 5, 7, 11, 13, 17, 19), (6, 6)))
# 21 is seen by visible cameras alone and 22 by infrared ones alone.
UNEVEN = records_of({2: (6, 3), 3: (1, 9), 5: (8, 2), 7: (4, 4), 21: (6, 0), 22: (0, 5)})


def batches(records=EVEN, *, identities=4, images=2, seed=0, epoch=0) -> list[list[int]]:
    return identity_batches(records, identities=identities, images=images, seed=seed, epoch=epoch)


def sampler(records=EVEN, *, epoch=0, first_step=0, identities=4, **options):
    result = IdentityBatchSampler(records, identities=identities, images=2, seed=0, **options)
    result.epoch, result.first_step = epoch, first_step
    return result


@pytest.mark.parametrize(("identities", "images"), [(4, 2), (2, 3), (8, 1), (3, 8)])
def test_a_batch_holds_p_identities_with_k_images_of_each_modality(identities, images):
    for batch in batches(identities=identities, images=images):
        groups = Counter((EVEN[i].pid, EVEN[i].modality) for i in batch)
        assert len({pid for pid, _ in groups}) == identities
        assert len(groups) == 2 * identities
        assert set(groups.values()) == {images}


def test_a_batch_goes_identity_by_identity_visible_first():
    for batch in batches(identities=4, images=2):
        runs = [batch[n : n + 4] for n in range(0, 16, 4)]
        for run in runs:
            assert len({EVEN[i].pid for i in run}) == 1
            assert [int(EVEN[i].modality) for i in run] == [0, 0, 1, 1]


def test_identity_of_one_modality_gives_k_images_of_that_one():
    seen = Counter()
    for epoch in range(5):
        for batch in batches(UNEVEN, epoch=epoch):
            groups = Counter((UNEVEN[i].pid, UNEVEN[i].modality) for i in batch)
            assert set(groups.values()) == {2}
            assert len({pid for pid, _ in groups}) == 4
            for pid, only in [(21, Modality.VISIBLE), (22, Modality.INFRARED)]:
                met = {modality for p, modality in groups if p == pid}
                assert met in (set(), {only})
                seen[pid] += bool(met)
    assert min(seen[21], seen[22]) > 0


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_set_of_one_modality_has_k_images_of_each_identity_and_no_others(epoch):
    records = records_of(dict.fromkeys(range(10, 21), (6, 0)))  # 11 identities, 66 images
    epochs = batches(records, identities=5, images=3, epoch=epoch)
    assert len(epochs) == 4  # floor(66 / 15)
    for batch in epochs:
        counts = Counter(records[i].pid for i in batch)
        assert len(batch) == len(set(batch)) == 15
        assert len(counts) == 5 and set(counts.values()) == {3}


def test_identity_with_fewer_images_than_k_repeats_them_evenly():
    records = records_of({1: (1, 3), 2: (1, 3)})
    (batch,) = batches(records, identities=2, images=3)
    counts = Counter(batch)
    for index, record in enumerate(records):
        assert counts[index] == (3 if record.modality is Modality.VISIBLE else 1)


@pytest.mark.parametrize(
    ("records", "identities", "images", "count"),
    [
        (EVEN, 4, 2, 6),  # 48 images of each modality / 8
        (EVEN, 4, 4, 3),
        (EVEN, 2, 5, 4),  # floor(48 / 10)
        (EVEN, 8, 100, 1),  # never an empty epoch
        (UNEVEN, 3, 2, 4),  # 25 visible images, 23 infrared ones: floor(25 / 6)
        (records_of({1: (2, 20), 2: (2, 20)}), 2, 2, 10),  # the larger is infrared
    ],
)
def test_an_epoch_is_as_long_as_the_larger_modality(records, identities, images, count):
    assert len(batches(records, identities=identities, images=images)) == count


def test_an_epoch_is_a_function_of_seed_and_epoch():
    assert batches(seed=2, epoch=3) == batches(seed=2, epoch=3)
    reused = sampler()
    first = list(reused)
    reused.epoch = 1
    second = list(reused)
    reused.epoch = 0
    assert list(reused) == first == list(sampler())
    assert second == list(sampler(epoch=1))


@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((2, 3), (3, 2)), ((1, 2), (2, 1)), ((0, 6), (6, 0))],
)
def test_seeds_and_epochs_give_different_batches(one, other):
    pairs = [batches(seed=seed, epoch=epoch) for seed, epoch in (one, other)]
    assert not any(a == b for a, b in zip(*pairs, strict=True))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("records", [EVEN, UNEVEN])
def test_images_come_again_only_when_all_of_their_identity_were_used(records, seed):
    dealt = [i for batch in batches(records, images=3, seed=seed) for i in batch]
    used = Counter(dealt)
    groups: dict = {}
    for index, record in enumerate(records):
        groups.setdefault((record.pid, record.modality), []).append(used[index])
    assert sum(used.values()) > len(records) / 2
    for counts in groups.values():
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_identities_come_equally_often_when_batches_divide_them(seed):
    counts = Counter(EVEN[i].pid for batch in batches(seed=seed) for i in batch)
    assert set(counts) == {record.pid for record in EVEN}
    assert set(counts.values()) == {3 * 4}  # 6 batches × 4 identities over 8; 2 × 2 images each


def test_no_identity_comes_twice_before_a_shuffle_is_used_up():
    for first, second in zip(*[iter(batches(identities=3, images=2, epoch=5))] * 2, strict=True):
        assert not {EVEN[i].pid for i in first} & {EVEN[i].pid for i in second}


def test_too_few_identities_name_the_option_and_both_numbers():
    phrase = "SAMPLER.IDENTITIES=9 different identities, but the training set has 8"
    with pytest.raises(DataError, match=phrase):
        sampler(identities=9)


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("records", [EVEN, UNEVEN, records_of(dict.fromkeys(range(9), (4, 0)))])
def test_processes_together_see_what_one_process_sees(records, world_size, epoch):
    alone = list(sampler(records, epoch=epoch))
    shards = [
        list(sampler(records, epoch=epoch, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for step, batch in enumerate(alone):
        parts = [shard[step] for shard in shards]
        assert [key for part in parts for key in part] == batch  # keys hold epoch and position
        for part in parts:
            assert len({records[key.index].pid for key in part}) == 4 // world_size
    assert {len(shard) for shard in shards} == {len(alone)} == {len(sampler(records))}


def test_keys_number_the_images_of_an_epoch():
    keys = [key for batch in sampler(epoch=7) for key in batch]
    assert [key.position for key in keys] == list(range(6 * 16))
    assert {key.epoch for key in keys} == {7}
    assert [key.index for key in keys] == [i for batch in batches(epoch=7) for i in batch]


@pytest.mark.parametrize("first_step", [1, 4, 6])
@pytest.mark.parametrize("world_size", [1, 2])
def test_first_step_skips_exactly_the_steps_before_it(first_step, world_size):
    options = {"epoch": 2, "rank": world_size - 1, "world_size": world_size}
    whole, rest = list(sampler(**options)), list(sampler(first_step=first_step, **options))
    assert len(whole) == 6
    assert rest == whole[first_step:]


@pytest.mark.parametrize("world_size", [3, 8])
def test_identities_that_cannot_be_shared_out_are_refused(world_size):
    phrase = f"SAMPLER.IDENTITIES=4 must be divisible by the {world_size} processes"
    with pytest.raises(UsageError, match=phrase):
        sampler(world_size=world_size)


def test_every_visible_image_comes_a_second_time_as_view_1():
    plain, doubled = sampler(epoch=3), sampler(epoch=3, second_visible=True)
    for one, two in zip(plain, doubled, strict=True):
        assert two[: len(one)] == one  # a second view changes nothing of the first
        visible = [key for key in one if EVEN[key.index].modality is Modality.VISIBLE]
        assert two[len(one) :] == [replace(key, view=1) for key in visible]
        assert len(two) == 4 * 2 * 3


def test_second_views_stay_with_their_process():
    shares = [sampler(second_visible=True, rank=rank, world_size=2) for rank in (0, 1)]
    for one, two in zip(*shares, strict=True):
        assert len(one) == len(two) == 12
        assert not {EVEN[k.index].pid for k in one} & {EVEN[k.index].pid for k in two}


def test_frames_of_a_track_come_in_a_row_one_of_each_segment():
    plain, three = list(sampler()), list(sampler(frames=3, second_visible=True))
    for one, batch in zip(plain, three, strict=True):
        first = [key for key in batch if key.view == 0]
        assert [key.index for key in first[::3]] == [key.index for key in one]
        assert [key.segment for key in batch] == [0, 1, 2] * (len(batch) // 3)
        for start in range(0, len(batch), 3):
            assert len({(key.index, key.view) for key in batch[start : start + 3]}) == 1
    keys = [(key.position, key.view) for batch in three for key in batch]
    assert len(set(keys)) == len(keys)  # each image has its own augmentation
