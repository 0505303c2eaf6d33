"""A folder of labeled images of several sizes, as a user might have one."""

from fcn_numpy.data import TOY_CLASSES, toy_shapes, write_image, write_labels

NAMES = ",".join(TOY_CLASSES.names)


def write_folder(root, n=6, images="images", masks="masks", listed=False):
    """Write toy images and their masks, and if listed classes.csv too; return the folder."""
    (root / images).mkdir(parents=True)
    (root / masks).mkdir()
    toy_images, labels = toy_shapes(n, 96, 5, rim=True)
    for i in range(n):
        h, w = 96 - 7 * i, 60 + 5 * i
        write_image(root / images / f"{i}.png", toy_images[i, :, :h, :w])
        write_labels(root / masks / f"{i}.png", labels[i, :h, :w], TOY_CLASSES)
    if listed:
        (root / "classes.csv").write_text("name\n" + "\n".join(TOY_CLASSES.names) + "\n")
    return root
