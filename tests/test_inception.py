"""The Inception of 2015 from PyTorch's files, against the programs that wrote them."""

import importlib.util
import warnings

import inceptions
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from biggan_tf import features, metrics
from biggan_tf.errors import BadInput
from biggan_tf.features.inception import RESIZES
from biggan_tf.images import to_uint8
from biggan_tf.sample_folder import SampleFolder
from biggan_tf.sampling import Sampler

SIZES = [(32, 32), (299, 299), (200, 333)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    inceptions.packages()
    return inceptions.write_random(tmp_path_factory.mktemp("weights"))


def pictures(height, width):
    """Smooth and rough: ramps with noise."""
    random = np.random.default_rng(height)
    ramps = np.linspace(0, 1, height)[:, None, None] * np.linspace(0, 1, width)[:, None]
    shape = (2, height, width, 3)
    noisy = 200 * ramps * random.uniform(size=(2, 1, 1, 3)) + random.uniform(
        0, 55, shape
    )
    return np.uint8(noisy)


def assert_close(found, expected):
    expected = expected.detach().numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_features_are_those_of_pytorch_fid(path):
    import torch

    theirs, ours = inceptions.pytorch_fid(path), features.load(f"pytorch_fid={path}")
    assert ours.name == features.load(f"inception={path}").name == "pytorch_fid"
    assert "half-pixel centres, not antialiased" in ours.protocol["features_resize"]
    assert len({ours.name, "torch_fidelity", "clean_fid", "inception"}) == 4
    for height, width in SIZES:
        images = pictures(height, width)
        batch = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            assert_close(ours(images)["features"], theirs(batch)[0][..., 0, 0])


def test_features_and_logits_are_those_of_torch_fidelity(path):
    import torch

    theirs, of_sfid = inceptions.torch_fidelity(path), []
    # Where the TensorFlow graph has mixed_6/conv.
    layer = theirs.Mixed_6d.branch1x1
    layer.register_forward_hook(lambda *args: of_sfid.append(args[-1][:, :7]))
    ours = features.load(f"torch_fidelity={path}")
    for height, width in SIZES:
        images = pictures(height, width)
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
        found = ours(images)
        assert_close(found["features"], expected[0])
        assert_close(found["logits"], expected[1])
        assert_close(found["spatial"], of_sfid[-1].permute(0, 2, 3, 1))


def test_the_resize_is_that_of_clean_fid():
    """To one grey level, by what it asks of itself; it is nearer."""
    if importlib.util.find_spec("cleanfid") is None:
        pytest.skip("clean-fid, to compare with, is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Pillow's
        from cleanfid.resize import build_resizer

        for height, width in [*SIZES, (640, 512)]:
            images = pictures(height, width)
            theirs = np.stack([build_resizer("clean")(image) for image in images])
            ours = RESIZES["clean_fid"][0](tf.constant(images, tf.float32))
            np.testing.assert_allclose((ours + 1) * 128, theirs, atol=0.01)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of small pictures, and the pictures."""
    result = []
    for name, size in (("a", 24), ("b", 32)):
        folder = tmp_path_factory.mktemp(name)
        images = np.concatenate(
            [pictures(size, size + i)[:, :, :size] for i in range(8)]
        )
        for index, picture in enumerate(images):
            Image.fromarray(picture).save(folder / f"{index:02}.png")
        result.append((folder, images))
    return result


def test_fid_is_that_of_pytorch_fid_on_the_same_folders(path, folders):
    """Of the first 256 features, for theirs takes half a minute for all of them."""
    from pytorch_fid import fid_score

    network, theirs = features.load(f"pytorch_fid={path}"), inceptions.pytorch_fid(path)
    ours, expected = [], []
    for folder, images in folders:
        ours.append(metrics.FeatureStatistics())
        ours[-1].update(network(images)["features"][:, :256])
        mean, covariance = fid_score.calculate_activation_statistics(
            sorted(folder.iterdir()), theirs, 16, num_workers=0
        )
        expected += [mean[:256], covariance[:256, :256]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SciPy: old options, singular matrices
        expected = fid_score.calculate_frechet_distance(*expected)
    assert metrics.frechet_distance(*ours) == pytest.approx(expected, rel=1e-3)


def test_fid_and_kid_are_those_of_torch_fidelity_on_the_same_folders(path, folders):
    from torch_fidelity import calculate_metrics

    network = features.load(f"torch_fidelity={path}")
    a, b = (network(images)["features"].numpy() for _, images in folders)
    ours = []
    for rows in (a, b):
        ours.append(metrics.FeatureStatistics())
        ours[-1].update(rows)
    expected = calculate_metrics(
        input1=str(folders[0][0]),
        input2=str(folders[1][0]),
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=16,
        cuda=False,
        cache=False,
        verbose=False,
        feature_extractor_weights_path=str(path),
        save_cpu_ram=True,  # no process of its own reads the files
    )
    fid = expected["frechet_inception_distance"]
    assert metrics.frechet_distance(*ours) == pytest.approx(fid, rel=1e-3)
    kid = expected["kernel_inception_distance_mean"]
    assert metrics.squared_mmd(*map(np.float64, (a, b))) == pytest.approx(kid, rel=1e-3)


def test_what_is_another_file_is_refused_with_what_it_is(tmp_path):
    inceptions.packages()
    import torch

    pointer = (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 95628359\n"
    )
    of_torchvision = {"fc.weight": torch.zeros(1000, 2048)}
    cases = {
        pointer: "pointer of Git LFS",
        b"\n<!DOCTYPE html><title>404</title>": "web page",
        b"": "is empty",
        b"PK\x03\x04 cut": "is no file of PyTorch's tensors",
    }
    file = tmp_path / "weights.pth"
    for content, told in cases.items():
        file.write_bytes(content)
        for program in ("inception", "pytorch_fid", "clean_fid"):
            with pytest.raises(BadInput, match=rf"weights\.pth.*{told}"):
                features.load(f"{program}={file}")
    for content, told in (
        (of_torchvision, "torchvision's inception_v3 of 1000 classes"),
        ({"layer.weight": torch.zeros(3)}, "not the Inception .* holds layer.weight"),
        ([torch.zeros(3)], "not the Inception .* holds list"),
        ({"fc.weight": torch.zeros(1008, 2048)}, "Conv2d_1a_3x3.* missing"),
    ):
        torch.save(content, file)
        with pytest.raises(BadInput, match=rf"weights\.pth.*{told}"):
            features.load(f"pytorch_fid={file}")


def test_a_renamed_file_asks_for_the_program(path, tmp_path):
    file = tmp_path / "inception.pth"
    file.symlink_to(path)
    with pytest.raises(BadInput, match="write pytorch_fid=.* or torch_fidelity="):
        features.load(f"inception={file}")
    assert features.load(f"clean_fid={file}").name == "clean_fid"


def test_a_folder_of_samples_scores_there_as_here(path, folders, tmp_path):
    """With pytorch-fid, of the first 64 features."""
    from pytorch_fid import fid_score

    kernel = tf.random.stateless_normal([12, 32 * 32 * 3], [1, 2], stddev=0.5)

    def draw(z, y, truncation):
        del truncation
        flat = tf.tanh(tf.concat([z, y], 1) @ kernel)
        return tf.reshape(flat, [-1, 32, 32, 3])

    sizes, names = (4, 8, 32), ("a", "b/c", "d", "e")
    sampler = Sampler(draw, *sizes, names, "resample", (), 7, "standing", 4 * (0.25,))
    folder = SampleFolder("module", range(4), None, 0.7, 5)
    assert folder.write(tmp_path / "samples", sampler, 16) == 16
    network, theirs = features.load(f"pytorch_fid={path}"), inceptions.pytorch_fid(path)
    z, y = (each[:16] for each in sampler.batch(0, 0.7, 5))
    samples = network(to_uint8(draw(z, tf.one_hot(y, 4), 0.7)))["features"]
    ours = [metrics.FeatureStatistics(), metrics.FeatureStatistics()]
    for statistics, rows in zip(ours, (samples, network(folders[1][1])["features"])):
        statistics.update(rows[:, :64])
    expected = []
    for images in (tmp_path / "samples", folders[1][0]):
        mean, covariance = fid_score.compute_statistics_of_path(
            str(images), theirs, 16, 2048, "cpu", num_workers=0
        )
        expected += [mean[:64], covariance[:64, :64]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SciPy: old options, singular matrices
        expected = fid_score.calculate_frechet_distance(*expected)
    assert metrics.frechet_distance(*ours) == pytest.approx(expected, rel=1e-3)
