"""Whole files in a folder on any file system that pyarrow knows.

A file is either there and complete or not there: local files are written under a hidden temporary
name, flushed and renamed; object stores show an object only when its upload is complete. Requests
to an object store that are lost or throttled are made again.
"""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from runner.again import again
from runner.local_files import files_in, times_in, write_file
from runner.names import check_name
from runner.uri import joined, shown, without_secrets
from xmft.errors import RequestError

_OBJECT_STORES = ("s3", "gcs", "abfs")  # pyarrow's names of the file systems without a rename


def path_of(name: str) -> str:
    """Return the name of a task as a path that every file system takes.

    Raises:
        RequestError: it leads out of the folder that it is used in.
    """
    return check_name(re.sub(r"[^\w/.=-]", "_", name), "The name", slashes=True)


class Storage:
    """A folder, local or remote; paths are relative to it and use slashes.

    Attributes:
        uri: The folder, with all that it takes to open it: not for people's eyes.
        shown: The folder for people, without keys and passwords.
        local_root: The folder as a path, None where it is not on a file system of this machine.
        is_object_store: Whether files there cannot be renamed, linked or created exclusively.
    """

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
                f"Cannot open {shown(text)}: its name is no UTF-8 text. Choose another name."
            ) from None
        self.local_root: Path | None = None
        if "://" in text:
            try:
                self._filesystem, root = _opened(text)
            except (OSError, ValueError, NotImplementedError) as error:
                # Not chained: the library's own message holds the URI.
                raise RequestError(
                    f"Cannot open {shown(text)} ({without_secrets(str(error), text)}). Use a "
                    "local folder, or a URI such as s3://bucket/folder, gs://bucket/folder or "
                    "file:///folder."
                ) from None
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
        self.uri = joined(text) if self.local_root is None else self._root
        self.shown = shown(self.uri)
        self.is_object_store = self._filesystem.type_name in _OBJECT_STORES

    def within(self, *parts: str) -> Storage:
        """Return a folder in this one."""
        return Storage(self.uri_of(*parts))

    def uri_of(self, *parts: str) -> str:
        """Return the URI of something in the folder, for programs: it opens what it names."""
        return joined(self.uri, *parts)

    def shown_of(self, *parts: str) -> str:
        """Return the place of something in the folder, for people."""
        return joined(self.shown, *parts)

    def told(self, error: BaseException) -> str:
        """Return what an error of the file system says, without keys and passwords."""
        return without_secrets(str(error), self.uri)

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
        """Return the paths of all files anywhere in `folder`, relative to it.

        Raises:
            RequestError: they cannot be listed.
        """
        try:
            if self.local_root is not None:
                return files_in(self._path(folder))
            base = self._path(folder)
            return [posixpath.relpath(path, base) for path in self._listed(folder, deep=True)]
        except OSError as error:
            raise RequestError(
                f"The results in {self.shown} cannot be read: {self.told(error)}"
            ) from None

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`.

        Raises:
            RequestError: they cannot be listed.
        """
        try:
            if self.local_root is not None:
                with os.scandir(self._path(folder)) as entries:
                    return [entry.name for entry in entries if entry.is_file()]
            return [posixpath.basename(path) for path in self._listed(folder, deep=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RequestError(
                f"The results in {self.shown} cannot be read: {self.told(error)}"
            ) from None

    def read(self, path: str) -> pa.Buffer | None:
        """Return the content of a file, None if it does not exist."""
        try:
            if self.local_root is not None:  # a third of the time of pyarrow's own streams
                return pa.py_buffer(Path(self._path(path)).read_bytes())
            return again(lambda: self._read(self._path(path)))
        except FileNotFoundError:
            return None

    def write(self, path: str, payload: bytes | pa.Buffer, *, overwrite: bool = True) -> bool:
        """Write a whole file, and the folder that it lies in.

        Args:
            path: Of the file. On an object store `overwrite` is no lock: give each writer a name
                of its own there.
            payload: The content.
            overwrite: Whether to replace a file of that name.

        Returns:
            Whether it was written: False if the file exists and must not be overwritten.

        Raises:
            OSError: it cannot be written.
        """
        target = self._path(path)
        if self.is_object_store:
            if not overwrite and self._exists(target):
                return False
            again(lambda: self._put(target, payload))
            return True
        folder, name = posixpath.split(target)
        self._filesystem.create_dir(folder, recursive=True)
        temporary = posixpath.join(folder, f".{name}-{uuid.uuid4().hex}.tmp")
        if self.local_root is not None:
            return write_file(Path(temporary), Path(target), payload, overwrite)
        try:
            self._put(temporary, payload)
            if not overwrite and self._exists(target):
                return False
            self._filesystem.move(temporary, target)
            return True
        finally:
            if self._exists(temporary):
                self._filesystem.delete_file(temporary)

    def modified(self, folder: str, ending: str) -> dict[str, datetime]:
        """Return when each file directly in `folder` was last written, by the store's own clock.

        Args:
            folder: The folder.
            ending: Of the names of the files to look at.
        """
        if self.local_root is not None:
            return times_in(self._path(folder), ending)
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        found = again(lambda: self._filesystem.get_file_info(selector))
        return {
            info.base_name: info.mtime
            for info in found
            if info.mtime is not None and info.base_name.endswith(ending)
        }

    def touch(self, path: str, payload: bytes) -> None:
        """Set the time of a file to now, by the store's own clock.

        Args:
            path: Of the file.
            payload: What it holds: an object store takes the time when it is written again.

        Raises:
            FileNotFoundError: it is gone; an object store creates it again.
        """
        if self.local_root is not None:
            os.utime(self._path(path))
        else:
            again(lambda: self._put(self._path(path), payload))

    def delete(self, path: str) -> None:
        """Delete a file if it exists, and on a file system its folder if that is empty then."""
        try:
            if self.local_root is not None:
                Path(self._path(path)).unlink()
            else:
                again(lambda: self._filesystem.delete_file(self._path(path)))
        except FileNotFoundError:
            return

    def delete_empty(self, folder: str) -> None:
        """Delete a folder of a file system if nothing is in it; object stores have no folders."""
        if self.local_root is not None:
            try:
                Path(self._path(folder)).rmdir()
            except OSError:  # something is in it again
                return

    def move(self, source: str, target: str) -> None:
        """Move a file, in place of another, if it exists."""
        try:
            if self.local_root is not None:
                Path(self._path(target)).parent.mkdir(parents=True, exist_ok=True)
                Path(self._path(source)).replace(self._path(target))
            else:
                again(lambda: self._filesystem.move(self._path(source), self._path(target)))
        except FileNotFoundError:
            return

    def delete_folder(self, folder: str) -> None:
        """Delete a folder and all that is in it, if it exists."""
        try:
            again(lambda: self._filesystem.delete_dir(self._path(folder)))
        except FileNotFoundError:  # by somebody else
            return

    def _listed(self, folder: str, *, deep: bool) -> list[str]:
        selector = fs.FileSelector(self._path(folder), recursive=deep, allow_not_found=True)
        found = again(lambda: self._filesystem.get_file_info(selector))
        return [info.path for info in found if info.type == fs.FileType.File]

    def _read(self, path: str) -> pa.Buffer:
        with self._filesystem.open_input_file(path) as stream:
            return stream.read_buffer()

    def _put(self, path: str, payload: bytes | pa.Buffer) -> None:
        with self._filesystem.open_output_stream(path) as stream:
            stream.write(payload)

    def _path(self, *parts: str) -> str:
        for part in parts:
            if part.startswith("/") or "\0" in part or ".." in part.replace("\\", "/").split("/"):
                raise RequestError(f"'{part}' is no place in {self.shown}: it leads out of there.")
        return posixpath.join(self._root, *(part for part in parts if part))

    def _exists(self, path: str) -> bool:
        return bool(self._filesystem.get_file_info(path).type != fs.FileType.NotFound)


def _opened(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a URI and the path in it."""
    if uri.startswith("s3://") and "allow_delayed_open" not in uri:
        # A small file is then one request instead of three.
        mark = "&" if "?" in uri else "?"
        return fs.FileSystem.from_uri(f"{uri}{mark}allow_delayed_open=true")
    return fs.FileSystem.from_uri(uri)
