"""The sources of an answer: what grounding, recitation checks and visited pages say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.model.content import Citation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Source(msgspec.Struct):
    """A page, a document or a place."""

    uri: str | None = None
    title: str | None = None


class Chunk(msgspec.Struct, rename="camel"):
    """A source of a grounded answer, by its kind."""

    web: Source | None = None
    retrieved_context: Source | None = None
    maps: Source | None = None

    @property
    def source(self) -> Source:
        """The source."""
        return self.web or self.retrieved_context or self.maps or Source()


class Segment(msgspec.Struct, rename="camel"):
    """A piece of a part's text, counted in bytes."""

    part_index: int | None = None
    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None


class Support(msgspec.Struct, rename="camel"):
    """Which sources say what a piece of the answer says."""

    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class GroundingMetadata(msgspec.Struct, rename="camel"):
    """What a search found."""

    grounding_chunks: list[Chunk] | None = None
    grounding_supports: list[Support] | None = None


class Recited(msgspec.Struct, rename="camel"):
    """A source that a piece of the answer repeats."""

    start_index: int | None = None
    end_index: int | None = None
    uri: str | None = None
    title: str | None = None
    license: str | None = None


class CitationMetadata(msgspec.Struct, rename="camel"):
    """The sources that the answer repeats: the Gemini API and Vertex AI name the field differently."""

    citation_sources: list[Recited] | None = None
    citations: list[Recited] | None = None


class Visit(msgspec.Struct, rename="camel"):
    """A page that the model read by ``url_context``."""

    retrieved_url: str | None = None
    url_retrieval_status: str | None = None


class UrlContextMetadata(msgspec.Struct, rename="camel"):
    """The pages that the model read."""

    url_metadata: list[Visit] | None = None


class Grounding(msgspec.Struct, rename="camel"):
    """What a candidate says about its sources."""

    grounding_metadata: GroundingMetadata | None = None
    citation_metadata: CitationMetadata | None = None
    url_context_metadata: UrlContextMetadata | None = None


def read_citations(said: Grounding, parts: Sequence[str | None]) -> tuple[Citation, ...]:
    """Read the sources of an answer; positions count characters of its text.

    Args:
        said: What the candidate says about its sources.
        parts: The texts of its parts, None for parts that are not in the text of the answer.
    """
    texts = _Texts(parts)
    return (
        *_grounded(said.grounding_metadata or GroundingMetadata(), texts),
        *_recited(said.citation_metadata or CitationMetadata(), texts),
        *_visited(said.url_context_metadata or UrlContextMetadata()),
    )


def _grounded(found: GroundingMetadata, texts: _Texts) -> Iterator[Citation]:
    """Give each source once for each piece of text it supports; one that supports none stands by itself."""
    chunks = found.grounding_chunks or []
    named = set()
    for support in found.grounding_supports or ():
        piece = support.segment or Segment()
        place = texts.span(piece.part_index, piece.start_index, piece.end_index)
        for index in support.grounding_chunk_indices or ():
            if index < len(chunks):
                named.add(index)
                yield _citation("grounding", chunks[index].source, place, text=piece.text or "")
    for index, chunk in enumerate(chunks):
        if index not in named:
            yield _citation("grounding", chunk.source)


def _recited(found: CitationMetadata, texts: _Texts) -> Iterator[Citation]:
    for one in (*(found.citation_sources or ()), *(found.citations or ())):
        place = texts.span(0, one.start_index, one.end_index)
        license_ = {"license": one.license} if one.license else {}
        yield _citation("citation", Source(one.uri, one.title), place, provider_data=license_)


def _visited(found: UrlContextMetadata) -> Iterator[Citation]:
    for visit in found.url_metadata or ():
        if visit.retrieved_url and visit.url_retrieval_status == "URL_RETRIEVAL_STATUS_SUCCESS":
            yield _citation("url_citation", Source(visit.retrieved_url))


def _citation(kind: str, source: Source, place: tuple[int, int] | None = None, **more: Any) -> Citation:
    start, end = place or (None, None)
    return Citation(
        type=kind, source=source.uri or "", title=source.title or "", start_index=start, end_index=end, **more
    )


class _Texts:
    """Finds places in the text of an answer, of which the API knows the part and the byte."""

    def __init__(self, parts: Sequence[str | None]) -> None:
        self._parts = parts

    def span(self, part: int | None, start: int | None, end: int | None) -> tuple[int, int] | None:
        """Give the characters that some bytes of a part are in the text; None where there is no such part in it.

        The API leaves out what is 0.
        """
        place = part or 0
        text = self._parts[place] if 0 <= place < len(self._parts) else None
        if text is None or not end:
            return None
        before = sum(len(earlier or "") for earlier in self._parts[:place])
        encoded = text.encode()
        return before + _characters(encoded[: start or 0]), before + _characters(encoded[:end])


def _characters(encoded: bytes) -> int:
    return len(encoded.decode(errors="ignore"))
