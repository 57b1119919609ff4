"""The episode document: an episode's tree as JSON.

`format` declares it, `parsing` reads bytes, `validation` finds every mistake,
`importing` writes the tree, `exporting` reads it. The format is described for authors
in docs/episode-document.md.
"""
