"""GenEval's verdict from detections, on hand-made cases."""

import pytest

from training.world.classes import CLASS_INDEX
from training.world.geneval_rules import DetectedObject, DetectionThresholds, is_correct

THRESHOLDS = DetectionThresholds(score=0.3, counting=0.9)


def seen(name, *, score=0.95, color="red", box=(10, 10, 40, 40)):
    return DetectedObject(CLASS_INDEX[name], score, color, box)


def single(name):
    return {"tag": "single_object", "include": [{"class": name, "count": 1}]}


def counting(name, count):
    return {
        "tag": "counting",
        "include": [{"class": name, "count": count}],
        "exclude": [{"class": name, "count": count + 1}],
    }


def colored(name, color):
    return {"tag": "colors", "include": [{"class": name, "count": 1, "color": color}]}


def placed(subject, relation, target):
    return {
        "tag": "position",
        "include": [{"class": target, "count": 1}, {"class": subject, "count": 1, "position": [relation, 0]}],
    }


def test_an_object_at_the_threshold_is_not_seen():
    assert not is_correct([seen("cat", score=0.3)], single("cat"), THRESHOLDS)
    assert is_correct([seen("cat", score=0.31)], single("cat"), THRESHOLDS)


def test_other_classes_do_not_spoil_a_single_object():
    assert is_correct([seen("dog"), seen("cat"), seen("cat")], single("cat"), THRESHOLDS)


def test_counting_uses_its_own_threshold_in_both_directions():
    two_sure_one_doubtful = [seen("cat"), seen("cat"), seen("cat", score=0.6)]
    assert is_correct(two_sure_one_doubtful, counting("cat", 2), THRESHOLDS)
    assert not is_correct(two_sure_one_doubtful, counting("cat", 3), THRESHOLDS)
    assert not is_correct([seen("cat")] * 3, counting("cat", 2), THRESHOLDS)


def test_only_the_most_certain_object_answers_for_its_colour():
    red_then_blue = [seen("car", score=0.9, color="red"), seen("car", score=0.8, color="blue")]
    assert is_correct(red_then_blue, colored("car", "red"), THRESHOLDS)
    assert not is_correct(red_then_blue, colored("car", "blue"), THRESHOLDS)
    assert is_correct(red_then_blue[::-1], colored("car", "red"), THRESHOLDS), "the order of detections must not matter"


def test_relations_are_between_centres_with_a_margin():
    left, right = (0, 40, 20, 60), (60, 40, 80, 60)
    objects = [seen("dog", box=left), seen("cat", box=right)]
    assert is_correct(objects, placed("dog", "left of", "cat"), THRESHOLDS)
    assert not is_correct(objects, placed("dog", "right of", "cat"), THRESHOLDS)
    assert not is_correct(objects, placed("dog", "above", "cat"), THRESHOLDS)
    # 3 px apart, objects 20 px wide: the offset is inside the margin of 0.1 * (20 + 20) px.
    touching = [seen("dog", box=(0, 40, 20, 60)), seen("cat", box=(3, 40, 23, 60))]
    assert not is_correct(touching, placed("dog", "left of", "cat"), THRESHOLDS)


def test_a_missing_target_fails_the_relation():
    assert not is_correct([seen("dog")], placed("dog", "left of", "cat"), THRESHOLDS)


def test_no_more_than_sixteen_objects_of_a_class_count():
    spec = {"tag": "two_object", "include": [{"class": "cat", "count": 17}]}
    assert not is_correct([seen("cat")] * 20, spec, THRESHOLDS)


@pytest.mark.parametrize("values", [{"score": -0.1}, {"counting": 1.0}])
def test_a_threshold_outside_its_range_is_refused_by_name(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        DetectionThresholds(**values)
