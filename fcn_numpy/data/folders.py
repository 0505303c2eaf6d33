"""Folders of pictures with a mask each: your own, and those of PASCAL VOC."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fcn_numpy.data.classes import VOC_CLASSES, Classes, read_classes
from fcn_numpy.data.images import read_image, read_mask
from fcn_numpy.data.shapes import IGNORE

PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
VOC_SPLITS = Path("ImageSets", "Segmentation")


class DataFaults(ValueError):
    """What is wrong with a folder of pictures and masks.

    Parameters
    ----------
    faults : list of str
        All that was found, one file or pair in each.
    """

    def __init__(self, faults: list[str]):
        self.faults = faults
        many = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
        super().__init__("\n".join([f"{many} in the pictures and masks:", *faults]))


@dataclass(frozen=True)
class Folder:
    """Pictures, each with a mask of its labels, read when they are asked for.

    Attributes
    ----------
    pairs : tuple of (path, path)
        Picture and mask.
    classes : Classes
    coloured : bool
        Whether masks are read by their colours.
    faults : tuple of str
        What was found wrong when the folder was listed; `check` raises it.
    """

    pairs: tuple[tuple[Path, Path], ...]
    classes: Classes
    coloured: bool = False
    faults: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a picture, RGB from 0 to 1, (3, H, W), and its labels, (H, W), uint8."""
        faults: list[str] = []
        image, labels = self._read(index, faults)
        if faults:
            raise DataFaults(faults)
        return image, labels

    def _read(self, index, faults):
        """Return a picture and its labels; note what is wrong with either."""
        picture, mask = self.pairs[index]
        both = []
        for read, arguments in (
            (read_image, (picture,)), (read_mask, (mask, self.classes, self.coloured))
        ):
            try:
                both.append(read(*arguments))
            except (ValueError, OSError) as error:
                faults.append(str(error))
        if len(both) == 2 and both[0].shape[1:] != both[1].shape:
            faults.append(
                f"expected {mask} to be of the size of its picture, "
                f"{_size(both[0].shape[1:])}, got {_size(both[1].shape)}"
            )
        return both if len(both) == 2 else (None, None)

    @property
    def names(self) -> list[str]:
        """Names of the pictures, without folder and ending."""
        return [picture.stem for picture, _ in self.pairs]

    def subset(self, indices: Iterable[int]) -> Folder:
        """Return some of the pictures."""
        return replace(self, pairs=tuple(self.pairs[i] for i in indices))

    def split(self, share: float, seed: int) -> tuple[Folder, Folder]:
        """Draw a share of the pictures to be held out.

        Which ones depends on the number of pictures and the seed alone.

        Parameters
        ----------
        share : float
            Above 0 and below 1; rounded so that each part has at least one picture.
        seed : int

        Returns
        -------
        others : Folder
        held_out : Folder
        """
        if not 0 < share < 1:
            raise ValueError(f"expected a share above 0 and below 1, got {share}")
        n = len(self)
        if n < 2:
            raise ValueError("expected at least 2 pictures, to train on and to score on, got 1")
        drawn = np.random.default_rng((seed, n)).permutation(n)
        held_out = min(max(1, round(share * n)), n - 1)
        return self.subset(sorted(drawn[held_out:])), self.subset(sorted(drawn[:held_out]))

    def check(self) -> tuple[np.ndarray, int]:
        """Read everything once, and count pixels.

        Returns
        -------
        counts : ndarray, shape (n_class,), int64
            Pixels of each class.
        ignored : int
            Pixels that are labelled 255.

        Raises
        ------
        DataFaults
            With all that is wrong in any file: missing partners, pictures and masks that cannot
            be read or differ in size, pixels that are no class.
        """
        counts, faults = np.zeros(256, np.int64), list(self.faults)
        for index in range(len(self)):
            _, labels = self._read(index, faults)
            if labels is not None:
                counts += np.bincount(labels.ravel(), minlength=256)
        if faults:
            raise DataFaults(faults)
        return counts[: len(self.classes)], int(counts[IGNORE])


def _size(size):
    return f"{size[1]} x {size[0]}"


def is_voc(root: str | os.PathLike) -> bool:
    """Return whether a folder has the layout of PASCAL VOC."""
    return (Path(root) / "JPEGImages").is_dir()


def voc_folder(
    root: str | os.PathLike, split: str, classes: Classes = VOC_CLASSES, coloured: bool = False
) -> Folder:
    """Return the pictures of a list of PASCAL VOC.

    Parameters
    ----------
    root : path-like
        Folder (such as VOCdevkit/VOC2012) with JPEGImages/NAME.jpg, SegmentationClass/NAME.png
        and ImageSets/Segmentation/SPLIT.txt.
    split : str
        Which list: "train", "val", "trainval" or one of your own.
    classes : Classes
    coloured : bool
        Whether masks are read by their colours; VOC's own are class numbers.

    Returns
    -------
    Folder
        Its `faults` name each picture and mask of the list that is not there.

    Raises
    ------
    ValueError
        If there is no such list, or it is empty.
    """
    root = Path(root)
    path = root / VOC_SPLITS / f"{split}.txt"
    if not path.is_file():
        there = sorted(p.stem for p in path.parent.glob("*.txt"))
        raise ValueError(
            f"expected a list of pictures {path}; there are {', '.join(there) or 'none'}"
        )
    try:
        names = list(dict.fromkeys(path.read_text("utf-8-sig").split()))
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a text of names in {path}: {error}") from error
    if not names:
        raise ValueError(f"expected names of pictures in {path}, got none")
    return _voc_pictures(root, names, classes, coloured)


def _voc_pictures(root, names, classes, coloured):
    pairs = [
        (root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png")
        for name in names
    ]
    missing = [path for pair in pairs for path in pair if not os.path.isfile(path)]
    complete = tuple(pair for pair in pairs if not set(missing) & set(pair))
    return Folder(complete, classes, coloured, tuple(f"{path} is missing" for path in missing))


def own_folder(
    root: str | os.PathLike, classes: Classes | None = None, coloured: bool = False
) -> Folder:
    """Return the pictures of a folder of your own.

    Parameters
    ----------
    root : path-like
        Folder with images/NAME.jpg (or another ending) and masks/NAME.png of the same names.
    classes : Classes, optional
        If not given, classes.csv in the folder says them (`fcn_numpy.data.read_classes`).
    coloured : bool
        With `classes`: whether masks are read by their colours. classes.csv says it by having
        colours or not.

    Returns
    -------
    Folder
        Its `faults` name each file that has no partner, and each name that is there twice.

    Raises
    ------
    ValueError
        If a folder or the list of classes is missing.
    """
    root = Path(root)
    for part in ("images", "masks"):
        if not (root / part).is_dir():
            raise ValueError(
                f"expected {root} to hold the folders images and masks (or, as PASCAL VOC, "
                f"JPEGImages and SegmentationClass); there is no {part}"
            )
    if classes is None:
        if not (root / "classes.csv").is_file():
            raise ValueError(
                f"expected the names of the classes: there is no {root / 'classes.csv'}"
            )
        classes, coloured = read_classes(root / "classes.csv")
    faults: list[str] = []
    pictures, masks = (
        _by_name(root / "images", PICTURES, faults), _by_name(root / "masks", (".png",), faults)
    )
    for name in sorted(pictures.keys() - masks.keys()):
        faults.append(f"{pictures[name]} has no mask {root / 'masks' / f'{name}.png'}")
    for name in sorted(masks.keys() - pictures.keys()):
        faults.append(f"{masks[name]} has no picture in {root / 'images'}")
    if not faults and not pictures:
        faults.append(f"{root / 'images'} is empty")
    pairs = tuple((pictures[n], masks[n]) for n in sorted(pictures.keys() & masks.keys()))
    return Folder(pairs, classes, coloured, tuple(faults))


def open_folder(
    root: str | os.PathLike, split: str = "train", classes: Classes | None = None,
    coloured: bool = False,
) -> Folder:
    """Return the pictures of a folder in either layout.

    Parameters
    ----------
    root : path-like
        A folder as `voc_folder` or `own_folder` takes it.
    split : str
        For PASCAL VOC: which list.
    classes : Classes, optional
        By default those of PASCAL VOC, or those that classes.csv lists.
    coloured : bool
        Whether masks are read by their colours.

    Returns
    -------
    Folder
    """
    if is_voc(root):
        return voc_folder(root, split, VOC_CLASSES if classes is None else classes, coloured)
    return own_folder(root, classes, coloured)


def named_folder(
    root: str | os.PathLike, names: Sequence[str], classes: Classes, coloured: bool
) -> Folder:
    """Return some pictures of a folder in either layout, by name.

    Parameters
    ----------
    root : path-like
    names : sequence of str
        Without folder and ending.
    classes : Classes
    coloured : bool
        Whether masks are read by their colours.

    Returns
    -------
    Folder
        Its `faults` name the pictures that are not there.
    """
    if is_voc(root):
        return _voc_pictures(Path(root), names, classes, coloured)
    folder = own_folder(root, classes, coloured)
    places = {name: index for index, name in enumerate(folder.names)}
    there = folder.subset(places[name] for name in names if name in places)
    missing = tuple(f"{name} is missing" for name in names if name not in places)
    return replace(there, faults=missing)


def _by_name(folder, endings, faults):
    """Return the files under their names without ending; note those that should not be there."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini"):
            continue  # what file managers leave behind
        if path.is_dir():
            faults.append(f"{path} is a folder, expected files alone")
        elif path.suffix.lower() not in endings:
            faults.append(f"{path}: expected a file with the ending {', '.join(endings)}")
        elif path.stem in files:
            faults.append(f"{path} and {files[path.stem].name} have the same name")
        else:
            files[path.stem] = path
    return files
