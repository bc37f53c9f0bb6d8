"""Whole files in a folder on any file system that pyarrow knows.

A file is either there and complete or not there: local files are written under a hidden temporary
name, flushed and renamed; object stores show an object only when its upload is complete.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import uuid
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from xmft.errors import RequestError

_OBJECT_STORES = ("s3", "gcs", "abfs")  # pyarrow's names of the file systems without a rename


def path_of(name: str) -> str:
    """Return the name of a task as a path that every file system takes."""
    return re.sub(r"[^\w/.=-]", "_", name)


class Storage:
    """A folder, local or remote; paths are relative to it and use slashes."""

    def __init__(self, uri: str | Path) -> None:
        """Point at a folder; nothing is created yet.

        Raises:
            RequestError: the URI is malformed or of an unknown kind.
        """
        text = str(uri)
        try:
            text.encode()
        except UnicodeEncodeError:  # bytes of a name that is no UTF-8
            raise RequestError(
                f"Cannot open {text}: its name is no UTF-8 text. Choose another name."
            ) from None
        self.local_root: Path | None = None
        if "://" in text:
            try:
                self._filesystem, root = fs.FileSystem.from_uri(text)
            except (OSError, ValueError, NotImplementedError) as error:
                raise RequestError(
                    f"Cannot open {text} ({error}). Use a local folder, or a URI such as "
                    "s3://bucket/folder, gs://bucket/folder or file:///folder."
                ) from error
            if isinstance(self._filesystem, fs.LocalFileSystem):
                self.local_root = Path(root)
        else:
            self._filesystem = fs.LocalFileSystem()
            # Absolute before Ray's workers change their working directory.
            try:
                self.local_root = Path(text).expanduser().absolute()
            except RuntimeError as error:  # ~somebody who does not exist
                raise RequestError(f"Cannot open {text}: {error}") from None
        self._root = root if self.local_root is None else self.local_root.as_posix()
        self._root = self._root.rstrip("/") or "/"
        self.uri = text.rstrip("/") if self.local_root is None else self._root

    def probe(self, folder: str) -> None:
        """Create `folder` and write and delete a file in it.

        Raises:
            OSError: it cannot be done.
        """
        self._filesystem.create_dir(self._path(folder), recursive=True)
        path = self._path(folder, f".probe-{uuid.uuid4().hex}")
        with self._filesystem.open_output_stream(path) as stream:
            stream.write(b"x")
        self._filesystem.delete_file(path)

    def files(self, folder: str) -> list[str]:
        """Return the paths of all files anywhere in `folder`, relative to it."""
        base = self._path(folder)
        selector = fs.FileSelector(base, recursive=True, allow_not_found=True)
        try:
            found = self._filesystem.get_file_info(selector)
        except OSError as error:
            raise RequestError(f"The results in {self.uri} cannot be read: {error}") from error
        return [
            posixpath.relpath(info.path, base) for info in found if info.type == fs.FileType.File
        ]

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        return [info.base_name for info in self._filesystem.get_file_info(selector)]

    def read(self, path: str) -> pa.Buffer | None:
        """Return the content of a file, None if it does not exist."""
        try:
            with self._filesystem.open_input_file(self._path(path)) as stream:
                return stream.read_buffer()
        except FileNotFoundError:
            return None

    def write(self, path: str, payload: bytes | pa.Buffer, *, overwrite: bool = True) -> bool:
        """Write a whole file, and the folder that it lies in.

        Returns:
            Whether it was written: False if the file exists and must not be overwritten.
        """
        target = self._path(path)
        folder, name = posixpath.split(target)
        if self._filesystem.type_name in _OBJECT_STORES:
            if not overwrite and self._exists(target):
                return False
            with self._filesystem.open_output_stream(target) as stream:
                stream.write(payload)
            return True
        self._filesystem.create_dir(folder, recursive=True)
        temporary = posixpath.join(folder, f".{name}-{uuid.uuid4().hex}.tmp")
        try:
            if self.local_root is not None:
                return _write_local(Path(temporary), Path(target), payload, overwrite)
            with self._filesystem.open_output_stream(temporary) as stream:
                stream.write(payload)
            if not overwrite and self._exists(target):
                return False
            self._filesystem.move(temporary, target)
            return True
        finally:
            if self._exists(temporary):
                self._filesystem.delete_file(temporary)

    def set_aside(self, path: str, name: str, *, most: int) -> str | None:
        """Rename a file to `<name>-<n>`, or delete it where that fails; neither is an error.

        Args:
            path: The file.
            name: What the new name begins with.
            most: Files of that name in the folder; one more is deleted.

        Returns:
            The new path; None if the file is not kept, or cannot be touched.
        """
        source = self._path(path)
        folder, old = posixpath.split(source)
        suffix = posixpath.splitext(old)[1]
        with contextlib.suppress(OSError):
            for number in range(1, most + 1):
                target = posixpath.join(folder, f"{name}-{number}{suffix}")
                if not self._exists(target):
                    self._filesystem.move(source, target)
                    return target
        with contextlib.suppress(OSError):
            self._filesystem.delete_file(source)
        return None

    def delete_folder(self, folder: str) -> None:
        """Delete a folder and all that is in it, if it exists."""
        path = self._path(folder)
        if self._filesystem.get_file_info(path).type == fs.FileType.Directory:
            self._filesystem.delete_dir(path)

    def _path(self, *parts: str) -> str:
        return posixpath.join(self._root, *parts)

    def _exists(self, path: str) -> bool:
        return bool(self._filesystem.get_file_info(path).type != fs.FileType.NotFound)


def _write_local(
    temporary: Path, target: Path, payload: bytes | pa.Buffer, overwrite: bool
) -> bool:
    with temporary.open("wb") as stream:
        stream.write(payload)
        stream.flush()
        os.fsync(stream.fileno())
    if not overwrite:
        # A link fails if the name is taken, a rename would replace what is there.
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:
            if target.exists():  # no hard links on this file system
                return False
        else:
            return True
    temporary.replace(target)
    return True
