"""Where exports come from: the export API, or an archive of files."""
