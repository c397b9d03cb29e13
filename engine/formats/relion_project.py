"""What RELION knows of tomograms that are picked: their names, sizes and optics.

And the two files that it asks for at the end: the particles of all tomograms, and the
optimisation set that says in which tomograms they lie.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dep.engine.errors import PicksError, UseError
from dep.engine.formats import relion_set
from dep.engine.formats.convert import Reading, gather
from dep.engine.formats.files import write_picks
from dep.engine.formats.format import Conventions, Optics
from dep.engine.formats.known_tomograms import known_tomograms, misfit
from dep.engine.formats.registry import FORMATS
from dep.engine.formats.tomogram_names import Renaming
from dep.engine.formats.tomograms_star import TomogramSet
from dep.engine.picks import Picks

PARTICLES = relion_set.COMBINED[0]
FORMS = ("relion5", "relion4")  # that have an optimisation set


@dataclass(frozen=True, slots=True, kw_only=True)
class RelionProject:
    """RELION's view of the tomograms of a run.

    Attributes
    ----------
    known : TomogramSet or None
        Of tomograms.star; None: nothing is known, and there is no optimisation set.
    optics : Optics or None
        Of all tomograms, overruling `known`.
    pixel_size : float or None
        Å, of the unbinned tilt series, overruling `known`.
    renaming : Renaming
        Names of files to names of tomograms, those that RELION reconstructed included.
    """

    known: TomogramSet | None = None
    optics: Optics | None = None
    pixel_size: float | None = None
    renaming: Renaming = field(default_factory=Renaming)

    @classmethod
    def of(
        cls,
        tomograms_star: Path | None = None,
        *,
        optics: Optics | None = None,
        pixel_size: float | None = None,
        renaming: Renaming | None = None,
    ) -> "RelionProject":
        """Read tomograms.star.

        Raises
        ------
        PicksError
            It is none, or cannot be read.
        """
        known = None if tomograms_star is None else known_tomograms(tomograms_star)
        if known is not None and known.star is None:
            message = (
                f"{known.path}: expected tomograms.star of RELION, found tomograms"
            )
            raise UseError(message)
        volumes = {} if known is None else known.volumes
        return cls(
            known=known,
            optics=optics,
            pixel_size=pixel_size,
            renaming=replace(renaming or Renaming(), otherwise=volumes),
        )

    @property
    def conventions(self) -> Conventions:
        """What the writers of one tomogram's files are told."""
        if self.known is None:
            return Conventions(pixel_size=self.pixel_size, optics=self.optics)
        return Conventions(
            pixel_size=self.pixel_size,
            frames=self.known.frames,
            optics=self.optics,
            optics_of=self.known.optics_of(self.optics),
        )

    def knows(self, tomogram: str) -> bool:
        """Say whether RELION has a tomogram of this name."""
        return self.known is not None and tomogram in self.known.frames

    def check(self, tomogram: str, forms: Iterable[str]) -> None:
        """Refuse formats that cannot be written of a tomogram, before it is picked.

        Raises
        ------
        PicksError
            Its unbinned pixel size is needed and unknown.
        """
        frame = self.known.frames.get(tomogram) if self.known else None
        if self.pixel_size or (frame and frame.pixel_size):
            return
        for form in forms:
            if form in FORMATS and FORMATS[form].in_unbinned_pixels:
                where = f"{self.known.path} does not know it" if self.known else ""
                message = (
                    f"{tomogram}: {form} counts in unbinned pixels, whose size is "
                    f"unknown{where and f' ({where})'}; give it (pixel_size=... in "
                    "Python, --pixel-size on the command line)"
                )
                raise PicksError(message)

    def remarks(self, picks: Picks) -> tuple[str, ...]:
        """Say what RELION will make of the picks of a tomogram, where that is not all.

        That it does not know the tomogram, or one of another size.
        """
        if self.known is None:
            return ()
        frame = self.known.frames.get(picks.tomogram)
        if frame is None:
            return (
                f"{picks.tomogram}: {self.known.path} has no tomogram of this name, so "
                f"its picks are in files of their own only, not in {PARTICLES}",
            )
        wrong = misfit(picks, frame, self.known.path)
        return () if wrong is None else (wrong,)

    def lacking(self, tomograms: Iterable[str]) -> list[str]:
        """Name the tomograms of `known` whose optics are not all known."""
        optics = self.conventions.optics_of
        return [name for name in tomograms if self.knows(name) and name not in optics]

    def combine(
        self, files: Mapping[str, Path], folder: Path, form: str
    ) -> list[Picks]:
        """Write the particles of all tomograms, and their optimisation set.

        Both or none; what was there before is replaced.

        Parameters
        ----------
        files
            The file of each tomogram's picks, by its name in RELION; those of
            tomograms that RELION does not know are left out.
        folder
            Where they go, as `relion_set.COMBINED`.
        form
            "relion5" or "relion4", of the files too.

        Returns
        -------
        list of Picks
            What was written, by tomogram; empty: nothing was, since RELION knows none
            of the tomograms.

        Raises
        ------
        PicksError
            A file that cannot be read or written.
        """
        if self.known is None:
            return []
        every = [
            one
            for name, path in files.items()
            if self.knows(name)
            for one in gather(
                [path],
                Reading(form=form, frames=self.known.frames, tomogram=name),
            )
        ]
        if every:
            how = replace(self.conventions, tomograms_star=self.known.star)
            write_picks(every, folder / PARTICLES, form, how)
        return every
