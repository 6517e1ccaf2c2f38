"""The nouns: Part, Surface, Camera, RingLight, Rig, Viewpoint, InspectionPlan; files; errors."""
