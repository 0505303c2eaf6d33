"""Find images, masks and lists in a folder, and match them.

There are two layouts with the same rules: images/ and masks/, with lists DIR/NAME.txt; and PASCAL
VOC's JPEGImages/ and SegmentationClass/, with lists ImageSets/Segmentation/NAME.txt.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fcn_numpy.data.class_files import read_classes
from fcn_numpy.data.classes import VOC_CLASSES, Classes, same_name
from fcn_numpy.data.lists import IMAGES, MASKS, Entry, read_list
from fcn_numpy.files import shown

# Lists of classes that a folder may contain: our own, CVAT's, labelme's.
CLASS_FILES = ("classes.csv", "labelmap.txt", "class_names.txt")
# Names of folders of images, and of folders of masks next to them.
IMAGE_FOLDERS = ("images", "img")
MASK_FOLDERS = ("masks", "annotations", "labels")
# Usual names of splits.
TRAIN, VAL, TEST = ("train", "training"), ("val", "validation", "valid"), ("test", "testing")
# Files that file managers and maps leave next to images.
HIDDEN = (".", "@", "__MACOSX")
BESIDE = ("thumbs.db", "desktop.ini", ".aux.xml", ".jgw", ".pgw", ".tfw", ".wld")
# If more images than this have no mask, one fault describes the mismatch.
FEW = 5

Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Layout:
    """The location of images, masks and lists in a folder.

    Attributes
    ----------
    root, images, masks, lists : path
        The folder, and the folders inside it.
    is_voc : bool
        Whether this is the layout of PASCAL VOC.
    mask_suffix : str
        Suffix that mask names add to image names: "_L" if the mask of a.jpg is a_L.png.
    """

    root: Path
    images: Path
    masks: Path
    lists: Path
    is_voc: bool
    mask_suffix: str = ""

    @property
    def splits(self) -> list[str]:
        """Names of the existing splits: folders in images/ and masks/, or lists."""
        inside = [path for path in sorted(self.images.iterdir()) if path.name[0] != "."]
        folders = [path.name for path in inside if path.is_dir()]
        if any(path.suffix.lower() in IMAGES for path in inside if path.name not in folders):
            folders = []  # a folder next to images is not a split
        lists = sorted(path.stem for path in self.lists.glob("*.txt"))
        # Next to images/ and masks/ there may be unrelated text files.
        return folders or [n for n in lists if self.is_voc or n.lower() in (*TRAIN, *VAL)]

    def split_named(self, names: Sequence[str]) -> str | None:
        """Return the first split with one of these names, ignoring case."""
        return next((own for name in names for own in self.splits if own.lower() == name), None)

    def usual(self, names: Sequence[str]) -> str | None:
        """Return the split to use if the user names none.

        Parameters
        ----------
        names : sequence of str
            Names of the split: `TRAIN` or `VAL`.

        Returns
        -------
        str or None
            The split, or None for all images of a folder without splits.

        Raises
        ------
        ValueError
            If the folder has splits but none with these names. (A single split with a different
            name is used, unless it is meant for scoring.)
        """
        splits = self.splits
        named = self.split_named(names)
        if named is not None or not splits:
            return named
        if len(splits) == 1 and splits[0].lower() not in (*VAL, *TEST):
            return splits[0]  # CVAT's default.txt
        raise ValueError(
            f"{shown(self.root)} has no list {' or '.join(names)}, but {shown(', '.join(splits))}: "
            "name one with --split"
        )

    def pairs(self, split: str | None, faults: list[str]) -> tuple[Pair, ...]:
        """Return the images and masks of a split.

        Parameters
        ----------
        split : str or None
            Name of a list or a folder, or path of a list; None for all images.
        faults : list of str
            Faults are appended to this list.

        Returns
        -------
        tuple of (path, path)

        Raises
        ------
        ValueError
            If the split does not exist or is empty.
        """
        if split is None:
            return self._everything(self.images, self.masks, faults)
        if split not in ("", ".", "..") and (self.images / split).is_dir():
            return self._everything(self.images / split, self.masks / split, faults)
        path = self.lists / f"{split}.txt"
        if not path.is_file() and split.lower().endswith(".txt"):
            path = Path(split)
        if not path.is_file():
            there = ", ".join(self.splits) or "none"
            raise ValueError(f"expected a list of images {shown(path)}; there are {shown(there)}")
        return self._listed(path, read_list(path), faults)

    def _everything(self, images, masks, faults):
        """Return all images of a folder with their masks; neither may lack the other."""
        for folder in (images, masks):
            if not folder.is_dir():
                raise ValueError(f"there is no folder {shown(folder)}")
        found: list[str] = []
        pictures = files_by_name(images, IMAGES, found)
        labels = files_by_name(masks, MASKS, found)
        wanted = {name: name + same_name(self.mask_suffix) for name in pictures}
        lonely = labels.keys() - set(wanted.values())
        pairs = tuple(
            (pictures[name], labels[mask]) for name, mask in wanted.items() if mask in labels
        )
        hint = None if pairs else _hint_of_suffix(masks, pictures, lonely)
        if hint is None and not pairs and len(pictures) > FEW and lonely:
            hint = (
                f"no image has a mask with the same name in {shown(masks)}: the first image is "
                f"{shown(min(pictures), 80)}, the first mask {shown(min(lonely), 80)}. Rename "
                "them, or write lists with the paths of an image and its mask on each line"
            )
        if hint is not None:
            found.append(hint)
        else:
            found += [
                f"{shown(pictures[name])} has no mask {shown(masks / f'{mask}.png')}"
                for name, mask in sorted(wanted.items()) if mask not in labels
            ]
            found += [f"{shown(labels[n])} has no image in {shown(images)}" for n in sorted(lonely)]
        if not found and not pictures:
            found.append(f"{shown(images)} is empty")
        faults += found
        return tuple(sorted(pairs))

    def _listed(
        self, path: Path, entries: Sequence[Entry], faults: list[str]
    ) -> tuple[Pair, ...]:
        """Return the images and masks of a list."""
        images = files_by_name(self.images, IMAGES)
        masks = files_by_name(self.masks, MASKS)
        files = {same_name(path.name): path for path in self.images.iterdir()}
        found: list[str] = []
        lines: dict[Path, Entry] = {}
        pairs = []
        for entry in entries:
            image = self._image_of(entry, files, images)
            name = f"{same_name(image.stem)}{same_name(self.mask_suffix)}"
            mask = masks.get(name, self.masks / f"{name}.png")
            if entry.mask:
                mask = self._at(entry.mask, self.masks)
            elif self.images in image.parent.parents:
                mask = self.masks / image.parent.relative_to(self.images) / f"{name}.png"
            where = f"{shown(path)}: line {entry.line}"
            gone = [file for file in (image, mask) if not os.path.isfile(file)]
            found += [f"{where}: {shown(file)} is missing" for file in gone]
            if gone:
                continue
            other = lines.setdefault(image, entry)
            if other is entry:
                pairs.append((image, mask))
            elif self._is_elsewhere(entry) or same_name(entry.stem) != same_name(other.stem):
                found.append(f"{where}: {shown(image)} is already on line {other.line}")
        hint = None if pairs else _hint_of_suffix(self.masks, images, masks)
        faults += found if hint is None else [hint]
        return tuple(pairs)

    def _image_of(self, entry: Entry, files: dict[str, Path], images: dict[str, Path]) -> Path:
        """Return the image on a line: a path, a file name, or a name without extension."""
        if entry.mask or "/" in entry.image:
            image = self._at(entry.image, self.images)
            if entry.mask or os.path.isfile(image):
                return image
        file, stem = same_name(entry.file), same_name(entry.stem)
        # A name with an extension means that file or, if it is missing, one of any extension.
        for found in (files.get(file), images.get(stem), images.get(file)):
            if found is not None:
                return found
        if entry.short is not None:
            return self._image_of(replace(entry, image=entry.short, short=None), files, images)
        return self.images / f"{stem}.jpg"

    def _is_elsewhere(self, entry: Entry) -> bool:
        """Return whether a line has a path where no file exists."""
        return "/" in entry.image and not os.path.isfile(self._at(entry.image, self.images))

    def _at(self, path: str, folder: Path) -> Path:
        """Return the file that a listed path means: below the root, anywhere, or in `folder`."""
        below = self.root / path.lstrip("/")
        # The list and the file system may encode the same letters differently.
        forms = (path, *(unicodedata.normalize(form, path) for form in ("NFC", "NFD")))
        places = [
            place for f in forms
            for place in (self.root / f.lstrip("/"), Path(f), folder / f.lstrip("/"))
        ]
        return next((place for place in places if os.path.isfile(place)), below)


def _hint_of_suffix(
    folder: Path, images: Collection[str], masks: Collection[str]
) -> str | None:
    suffix = _common_suffix(images, masks) if masks else None
    if suffix is None:
        return None
    return (
        f"no image has a mask with the same name, but all masks in {shown(folder)} are named like "
        f"an image followed by {shown(suffix)!r}: use --mask-suffix={shown(suffix)}"
    )


def _common_suffix(images: Collection[str], masks: Collection[str]) -> str | None:
    """Return the suffix that all mask names add to image names, if it is the same for all."""
    first = min(masks)
    # Only the right image gives the same suffix for all masks: try all images for one mask.
    for image in sorted(images, key=len, reverse=True):
        if first.startswith(image) and first != image:
            suffix = first[len(image) :]
            own = set(images)
            if all(m.endswith(suffix) and m[: -len(suffix)] in own for m in masks):
                return suffix
    return None


def files_by_name(
    folder: Path, endings: tuple[str, ...], faults: list[str] | None = None
) -> dict[str, Path]:
    """Return the files of a folder by normalized name, without extension.

    Parameters
    ----------
    folder : path
    endings : tuple of str
    faults : list of str, optional
        Unexpected files are appended to this list. By default, they are skipped.

    Returns
    -------
    dict of str to path
    """
    files: dict[str, Path] = {}
    wrong = []
    for path in sorted(folder.iterdir()):
        name = same_name(path.stem)
        if path.name.startswith(HIDDEN) or path.name.lower().endswith(BESIDE):
            continue
        if path.is_dir():
            wrong.append(f"{shown(path)} is a folder, expected only files")
        elif path.suffix.lower() not in endings:
            jpeg = endings == MASKS and path.suffix.lower() in (".jpg", ".jpeg")
            hint = " (a JPEG changes the class numbers)" if jpeg else ""
            wrong.append(
                f"{shown(path)}: expected a file with the extension {', '.join(endings)}{hint}"
            )
        elif name in files:
            wrong.append(f"{shown(path)} and {shown(files[name].name)} have the same name")
        else:
            files[name] = path
    if faults is not None:
        faults += wrong
    return files


def is_voc(root: str | os.PathLike) -> bool:
    """Return whether a folder has the layout of PASCAL VOC."""
    return (Path(root) / "JPEGImages").is_dir()


def layout_of(root: str | os.PathLike, mask_suffix: str = "") -> Layout:
    """Return the layout of a folder.

    Parameters
    ----------
    root : path-like
    mask_suffix : str

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If the folder has neither layout.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"there is no folder {shown(root)}")
    if is_voc(root):
        masks = root / "SegmentationClass"
        older = root / "SegmentationClassPNG"  # old labelme: the other has .npy files
        if older.is_dir() and not any(masks.glob("*.png")):
            masks = older
        layout = Layout(
            root, root / "JPEGImages", masks, root / "ImageSets" / "Segmentation", True, mask_suffix
        )
    else:
        there = (root / n for n in MASK_FOLDERS if any((root / n).rglob("*.png")))
        masks = next(there, root / "masks")  # YOLO has text files in labels/
        images = next((root / n for n in IMAGE_FOLDERS if (root / n).is_dir()), root / "images")
        layout = Layout(root, images, masks, root, False, mask_suffix)
    for part in (layout.images, layout.masks):
        if not part.is_dir():
            names = sorted(path.name for path in root.iterdir() if path.is_dir())
            raise ValueError(
                f"expected {shown(root)} to contain the folders images and masks (or, like PASCAL "
                f"VOC, JPEGImages and SegmentationClass); there is no {part.name}, there are "
                f"{shown(', '.join(names), 120) or 'no folders'}"
            )
    return layout


def classes_in(root: str | os.PathLike) -> tuple[Classes, bool] | None:
    """Return the list of classes in a folder.

    Parameters
    ----------
    root : path-like

    Returns
    -------
    (Classes, bool) or None
        The classes in classes.csv, or in a list by CVAT or labelme, and whether masks are read by
        color. None if there is no list.
    """
    for name in CLASS_FILES:
        if (Path(root) / name).is_file():
            return read_classes(Path(root) / name)
    return None


def classes_for(root: str | os.PathLike) -> tuple[Classes, bool]:
    """Return the list of classes in a folder, or PASCAL VOC's classes if it has that layout.

    Parameters
    ----------
    root : path-like

    Returns
    -------
    (Classes, bool)
        The classes, and whether masks are read by color.

    Raises
    ------
    ValueError
        If the folder has no list, and does not have the layout of PASCAL VOC.
    """
    found = classes_in(root)
    if found is not None:
        return found
    if is_voc(root):
        return VOC_CLASSES, False
    others = sorted(path.name for path in Path(root).glob("*.csv"))
    raise ValueError(
        f"expected the names of the classes: there is no {shown(Path(root) / CLASS_FILES[0])}"
        + (f" (there are {shown(', '.join(others), 120)})" if others else "")
        + "; write it, or use --classes FILE or --classes background,cat"
    )
