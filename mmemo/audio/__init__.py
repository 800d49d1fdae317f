"""From media files to a prepared corpus of mono waveforms."""
